"""Architecture search for medical images, from scans to a small, verified edge model."""

from typing import TYPE_CHECKING, Any

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
