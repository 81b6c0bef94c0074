"""Making an entry: its commands in order, each once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.entries.table import Entry
from examples.running import say, zoo

DONE = "done.json"


def build(entry: Entry, output: Path, *, run: Callable[..., object] = zoo) -> None:
    """Runs those of the entry's commands in `output` that it has not run there before.

    A command that was cut off is run again and goes on by itself. Once a command has changed, it and all after it are
    run again; what they refuse to go on with, they say.
    """
    say(entry.description)
    output.mkdir(parents=True, exist_ok=True)
    with inside(output):
        done = json.loads(Path(DONE).read_text()) if Path(DONE).exists() else []
        commands = [list(command) for command in entry.commands]
        num_done = next((i for i, command in enumerate(commands) if done[i : i + 1] != [command]), len(commands))
        for number in range(num_done, len(commands)):
            run(*commands[number])
            Path(DONE).write_text(json.dumps(commands[: number + 1], indent=2) + "\n")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The working directory is `folder` while inside, so that commands read as they would be typed."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
