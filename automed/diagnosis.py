"""What `automed doctor` tells: versions, devices, caches, and what is missing."""

import importlib.metadata
import platform
from collections.abc import Iterator

import automed
from automed.executors import num_cores


def facts() -> Iterator[tuple[str, str]]:
    """(name, text) of everything that a report of a problem should hold."""
    yield "automed", automed.__version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for requirement in _requirements():
        try:
            yield requirement, importlib.metadata.version(requirement)
        except importlib.metadata.PackageNotFoundError:
            yield requirement, f"missing; install it with: pip install {requirement}"
    yield "cpu", f"{num_cores()} cores"
    yield "gpu", _gpus()
    from automed.data.cache import cache_folder

    yield "cache", str(cache_folder())


def _requirements() -> list[str]:
    """Names of automed's own dependencies, extras left out."""
    import re

    wanted = importlib.metadata.requires("automed") or []
    plain = [r for r in wanted if "extra ==" not in r]
    return [m[0] for r in plain if (m := re.match(r"[A-Za-z0-9_.-]+", r))]


def _gpus() -> str:
    try:
        import torch
    except ImportError:
        return "PyTorch is missing"
    if not torch.cuda.is_available():
        return "none seen by PyTorch; training runs on the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
