"""The key file of a server: its own tokens by their kind, in TorchServe's format."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from zoo.errors import ServerError

KEY_BYTES = 32


def write_keys(key_file: Path, *kinds: str) -> None:
    """Writes a key file with a new token of each kind, `management` or `inference`."""
    keys = {kind: {"key": secrets.token_urlsafe(KEY_BYTES)} for kind in kinds}
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(keys, file, indent=2)


def read_keys(key_file: Path) -> dict[str, str]:
    """The tokens in a server's key file, by their kind: `management`, `inference`, `API`.

    Raises: ServerError if the file cannot be read.
    """
    try:
        return {kind: str(entry["key"]) for kind, entry in json.loads(key_file.read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerError(f"{key_file} is not a key file: expected the key_file.json of a running zoo serve") from error


def read_key(key_file: Path, kind: str = "management") -> str:
    """The token of kind `management` or `inference` in a server's key file.

    Raises: ServerError if the file cannot be read or does not contain the token.
    """
    keys = read_keys(key_file)
    if kind not in keys:
        raise ServerError(f"{key_file} contains no {kind} token: this server requires none")
    return keys[kind]
