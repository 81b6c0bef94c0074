"""The code blocks of README.md and of the pages of docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = {"sh", "python", "json", "text"}
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the number of its first line, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a block of the language sh, without its comment."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md, SECURITY.md and the pages of docs/."""
    return [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
    ]


def blocks_of(path: Path) -> Iterator[Block]:
    """The blocks of a page, except those of Sphinx itself (`{toctree}`)."""
    text, page = path.read_text(), str(path.relative_to(ROOT))
    for match in FENCE.finditer(text):
        if not match[1].startswith("{"):
            yield Block(page, text[: match.start()].count("\n") + 1, match[1], match[2])


def all_blocks(language: str | None = None) -> list[Block]:
    """The blocks of all pages, or those of one language."""
    return [block for path in pages() for block in blocks_of(path) if language in (None, block.language)]


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block, which are divided by lines, `;` and `&&`. A line that ends with a backslash goes on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    for offset, line in enumerate(lines, start=1):
        for part in divided(line):
            yield Command(block.page, block.line + offset, part)


def divided(line: str) -> list[str]:
    """The commands of a line, without its comment."""
    reader = shlex.shlex(line, posix=False, punctuation_chars=True)
    reader.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in reader:
        if word in (";", "&&"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(words) for words in parts if words]


def all_commands() -> list[Command]:
    """The commands of all pages."""
    return [command for block in all_blocks("sh") for command in commands_of(block)]
