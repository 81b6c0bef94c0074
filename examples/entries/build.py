"""Builds an entry by running its commands in order, each once."""

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
    """Runs the entry's commands in `output`, except those that have already finished there.

    An interrupted command runs again and resumes. If a command has changed, it and all later commands run again; each
    reports what it cannot resume.
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
    """Makes `folder` the working directory inside the block, which keeps the paths in the commands short."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
