"""A rich console for the commands' tables and progress, which prints text as `plain` does."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from zoo.cli._plain import plain


class PlainConsole(Console):
    """A console whose text has no control characters; its own colours and cursor movements remain."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)
