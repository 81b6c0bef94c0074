"""Runs the blocks of a page: `zoo` in this process, Python in a namespace of the page, other commands as processes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from docs.generated import walk_commands
from tests.docs.blocks import Block, Command, commands_of
from tests.docs.exempt import NOT_RUN, PARSED, PYTHON
from tests.docs.smaller import smaller

ADDRESS = re.compile(r"http://127\.0\.0\.1:8080/predictions/(NAME|MODEL)")
CATALOG_ID = re.compile(r"^\w+\.\w+$")
READERS = ("list", "report", "show", "verify")
OUTPUTS = ("train", "import", "search", "certify")


class PageError(AssertionError):
    """A block of a page that does not do what the page says."""


def reason_of(text: str, reasons: Mapping[str, str]) -> str | None:
    """The reason of the first pattern that is found in the text."""
    return next((reason for pattern, reason in reasons.items() if re.search(pattern, text)), None)


def described(command: Command) -> str:
    """What patterns are searched in."""
    return f"{command.page}: {command.text} "


class Runner:
    """Runs the blocks of one page in `folder`.

    `url` is the address of the served model; `zoo` runs a command in this process. `finished` are the commands that
    only print and that another page has run already: they are not run again.
    """

    def __init__(
        self, folder: Path, *, url: str, zoo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, finished: set[str]
    ) -> None:
        self.folder, self.url, self.zoo, self.monkeypatch, self.finished = folder, url, zoo, monkeypatch, finished
        self.namespace: dict[str, Any] = {}
        self.printed = ""

    def run(self, block: Block) -> None:
        """Runs a block, or the commands of it that are not exempt. Raises: PageError."""
        if block.language == "python":
            if reason_of(f"{block.page}: {block.text}", PYTHON) is None:
                code = ADDRESS.sub(self.url, block.text)
                with redirect_stdout(StringIO()) as printed:
                    exec(compile("\n" * block.line + code, block.page, "exec"), self.namespace)
                self.printed += printed.getvalue()
        elif block.language == "sh":
            self.monkeypatch.chdir(self.folder)
            for command in commands_of(block):
                self.command(command)
            self.monkeypatch.chdir(self.folder)

    def command(self, command: Command) -> None:
        """Runs a command, or parses it, or leaves it out, as `exempt` says. Raises: PageError if it fails."""
        text = described(command)
        if reason_of(text, NOT_RUN) is not None:
            return
        words = command.words
        if words[0] == "zoo":
            check(command)
            if reason_of(text, PARSED) is None:
                self.run_zoo(command)
        elif words[0] == "cd":
            self.monkeypatch.chdir(words[1])
        elif words[:2] == ["python", "-c"]:
            exec(compile(words[2], str(command), "exec"), {})
        else:
            done = subprocess.run(
                [ADDRESS.sub(self.url, word) for word in smaller(words)], capture_output=True, text=True, timeout=60
            )
            if done.returncode or '"code":' in done.stdout:
                raise PageError(f"{command}\n{done.stdout}{done.stderr}")
            self.printed += done.stdout

    def run_zoo(self, command: Command) -> None:
        """Runs a command of `zoo` in this process, after its output of an earlier command was removed."""
        words = [ADDRESS.sub(self.url, word) for word in smaller(command.words)][1:]
        if words[0] in OUTPUTS and "--output" in words:
            discard(Path(words[words.index("--output") + 1]))
        elif words[0] in ("pull", "denoise", "export"):
            discard(Path(words[-1]))
        if words[0] in READERS and "--figure" not in words and command.text in self.finished:
            return
        done = self.zoo(*words)
        self.finished.add(command.text)
        if done.code != 0:
            raise PageError(f"{command}\nrun as: zoo {' '.join(words)}\nexit code {done.code}\n{done.out}{done.err}")
        self.printed += done.out


def discard(path: Path) -> None:
    """Removes a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


COMMANDS = {path: (command, context) for path, command, context in walk_commands()}


def check(command: Command) -> None:
    """Parses a command as `zoo` does, and looks up the names in it, without its work.

    Raises: PageError for an unknown command, option, task, catalog id, recipe or key of a recipe, and for a value that
    an option does not take.
    """
    words = command.words
    name = next((path for path in (" ".join(words[:3]), " ".join(words[:2])) if path in COMMANDS), None)
    if name is None:
        raise PageError(f"{command}\nthere is no command {' '.join(words[:2])}")
    parser, context = COMMANDS[name]
    try:
        given = parser.make_context(name, words[len(name.split()) :], parent=context.parent).params
        look_up(given)
    except Exception as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        raise PageError(f"{command}\n{message}") from error


def look_up(given: Mapping[str, Any]) -> None:
    """Finds the names of parsed options. Raises: ZooError for an unknown one."""
    from training.grid import parse_grid, require_valid_grid
    from training.recipe import override
    from training.recipes import find_recipe
    from training.tasks.table import TASKS
    from zoo.errors import UnknownNameError
    from zoo.models.catalog import find_entry

    task = re.split("[:#]", given.get("task") or "")[0]
    if task and task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    for key in ("init", "model"):
        name = str(given.get(key) or "")
        if CATALOG_ID.match(name):
            find_entry(name)
    if "recipe" in given:
        recipe = find_recipe(given["recipe"] or "quick", objective=given["objective"] or "consistency")
        override(recipe, given.get("assignments") or ())
        if "grid" in given:
            require_valid_grid(parse_grid(given["grid"] or ()), recipe)
