"""Assertions that hold under `python -O` too."""

from __future__ import annotations


def require(condition: bool, message: str) -> None:
    """Raises AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)
