"""Arrays that cost seconds to make, kept on the user's own disk between runs."""

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs

from automed import files
from automed.data.dataset import Array

FOLDER_VARIABLE = "AUTOMED_CACHE"
"""Environment variable that moves the cache to another folder."""


def cache_folder() -> Path:
    """Where cached arrays lie; the folder need not exist."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_cache_path("automed"))


def cached(name: str, make: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """The arrays stored under a name, or those `make` returns, which are then stored.

    A file that cannot be read is made anew; a folder that cannot be written is not used.

    Args:
        name: File name without extension; it must change whenever what `make` returns changes.
        make: Makes the arrays by name, none of dtype object.
    """
    path = cache_folder() / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        pass
    arrays = make()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, content.getvalue())
    return arrays
