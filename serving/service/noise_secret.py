"""The deployment's noise secret, which all servers that must repeat each other's answers share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from zoo.errors import ServerError

VARIABLE = "ZOO_NOISE_SECRET"  # the environment variable that hands the secret to the workers, in hexadecimal digits
NUM_BYTES = 32
MOST_BYTES = 4096


def fresh_noise_secret() -> bytes:
    """A secret of 32 bytes from the operating system's random source."""
    return secrets.token_bytes(NUM_BYTES)


def read_noise_secret(path: Path) -> bytes:
    """The secret in a file: its bytes without surrounding white space.

    Raises: ServerError if the file cannot be read, or contains fewer than 32 bytes or more than 4,096.
    """
    try:
        with path.open("rb") as file:
            secret = file.read(MOST_BYTES + 1).strip()
    except OSError as error:
        raise ServerError(f"the noise secret cannot be read: {path}: {error.strerror}") from error
    if not NUM_BYTES <= len(secret) <= MOST_BYTES:
        raise ServerError(
            f"{path} contains {len(secret)} bytes, but a noise secret has {NUM_BYTES} to {MOST_BYTES}: make one with "
            f"openssl rand -hex {NUM_BYTES}"
        )
    return secret


def noise_secret_of_environment() -> bytes | None:
    """The secret that the parent process handed over in the environment; None if there is none."""
    digits = os.environ.get(VARIABLE)
    return None if digits is None else bytes.fromhex(digits)
