"""Assertions that `python -O` does not remove."""

from __future__ import annotations


def require(condition: bool, message: str) -> None:
    """Raises AssertionError with the message if the condition is false."""
    if not condition:
        raise AssertionError(message)
