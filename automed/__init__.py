"""Architecture search for medical images, from scans to a small, verified edge model."""

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reports to its makers else

__version__ = "0.1.0"
__all__ = ["search"]

if TYPE_CHECKING:
    from automed.api import search


def __getattr__(name: str) -> Any:
    """Import the heavy parts only when they are asked for, so that --help stays quick."""
    if name == "search":
        from automed.api import search

        return search
    raise AttributeError(f"module 'automed' has no attribute {name!r}")
