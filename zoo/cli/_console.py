"""A rich console for the commands' tables and progress, which prints text as `plain` does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from zoo.cli._plain import cell, plain


class PlainConsole(Console):
    """A console whose text has no control characters; its own colours and cursor movements remain.

    Where the output is not a terminal, a table is its title, a line per row with tabs between the cells, and its
    caption, so that other programs can read it. Text printed with `soft_wrap` is one line there; a terminal wraps it
    between words.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)

    def print(self, *objects: Any, **named: Any) -> None:
        if self.is_terminal:
            named.pop("soft_wrap", None)  # a terminal would break the line inside a word
        if self.is_terminal or not any(isinstance(part, Table) for part in objects):
            super().print(*objects, **named)
            return
        for part in objects:
            if isinstance(part, Table):
                super().print(_Lines(tuple(_lines_of(part))), crop=False)
            else:
                super().print(part, **named)


@dataclass(frozen=True)
class _Lines:
    """Lines of text; unlike a rich text they keep their tabs."""

    lines: tuple[str, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for line in self.lines:
            yield Segment(line)
            yield Segment.line()


def _lines_of(table: Table) -> Iterator[str]:
    """The title, the header, the rows, the footer and the caption of a table."""
    yield from [_text(table.title)] if table.title else []
    yield "\t".join(_text(column.header) for column in table.columns)
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        yield "\t".join(map(_text, cells))
    if table.show_footer:
        yield "\t".join(_text(column.footer) for column in table.columns)
    yield from [_text(table.caption)] if table.caption else []


def _text(part: Any) -> str:
    return cell(Text.from_markup(part).plain if isinstance(part, str) else part)
