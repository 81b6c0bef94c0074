"""Untrusted text for the user's terminal."""

import unicodedata


def plain(text: str) -> str:
    """The text without control characters, with which a card could manipulate the terminal's output."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_control(character) else character for character in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in "\n\t"
