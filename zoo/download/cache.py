"""Where this machine keeps what can be had again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory(kind: str) -> Path:
    """The folder for one kind of things: below ZOO_CACHE_DIR, or in the user's cache. The one place that reads it."""
    return Path(os.environ.get("ZOO_CACHE_DIR") or "~/.cache/certified-zoo").expanduser() / kind
