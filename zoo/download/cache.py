"""The cache directory for files that can be downloaded or created again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory(kind: str) -> Path:
    """The cache folder for one kind of file, in ZOO_CACHE_DIR or else in the user's cache.

    No other code reads ZOO_CACHE_DIR.
    """
    return Path(os.environ.get("ZOO_CACHE_DIR") or "~/.cache/certified-zoo").expanduser() / kind
