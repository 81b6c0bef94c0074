"""Strangers' texts on the user's terminal."""

import unicodedata


def plain(text: str) -> str:
    """The text without control characters, by which a card could rewrite what the terminal shows."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _controls(letter) else letter for letter in text)


def _controls(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" and letter not in "\n\t"
