"""Text of others for the user's terminal. The commands print by `echo`, or by `_console.PlainConsole`.

Names and messages come from checkpoints, servers, data sets and the Hub. Control characters in them could move the
cursor, change the terminal's title, or forge lines of output.
"""

import unicodedata

import typer

# Characters that change the direction of what follows, so that text reads as other text.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, halves of surrogate pairs, and separators that end a line in some programs.
HARMFUL_CATEGORIES = frozenset(("Cc", "Cs", "Zl", "Zp"))


def plain(text: str) -> str:
    """The text with a replacement character for each control character but newlines and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_harmful(character) else character for character in text)


def cell(value: object) -> str:
    """The value as text for one cell of a table: in one line, without tabs."""
    return plain(str(value).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", "\N{REPLACEMENT CHARACTER}"))


def echo(message: object, *, err: bool = False, nl: bool = True) -> None:
    """Prints `plain` text to stdout, or to stderr if `err`, with a newline if `nl`."""
    typer.echo(plain(str(message)), err=err, nl=nl)


def _is_harmful(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in DIRECTIONS or unicodedata.category(character) in HARMFUL_CATEGORIES
