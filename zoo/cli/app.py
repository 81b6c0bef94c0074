"""`zoo`: finds the commands that pyproject's entry points name, and imports one only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from zoo.cli._errors import exit_code_of
from zoo.errors import InterruptionError

COMMANDS = "zoo.commands"
CODE_AFTER_CTRL_C = 130
BESIDE_ZOO = Path(__file__).parents[2]
IN_A_WHEEL = BESIDE_ZOO / "certified-zoo"  # as pyproject.toml names it


class InstalledCommands(TyperGroup):
    """A command group of the installed entry points: functions, and Typer apps, which are groups of their own."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_entry_points())

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        entry = _entry_points().get(cmd_name)
        if entry is None:
            return None
        loaded = entry.load()
        command = typer.main.get_command(loaded if isinstance(loaded, typer.Typer) else _single(cmd_name, loaded))
        assert isinstance(command, TyperCommand | TyperGroup)
        command.name = cmd_name
        return command


def _single(name: str, function: Callable[..., None]) -> typer.Typer:
    """An app of one command."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(function)
    return single


@cache
def _entry_points() -> dict[str, EntryPoint]:
    """The installed commands; looking through every distribution takes some 20 ms, so it is done once."""
    return {entry.name: entry for entry in entry_points(group=COMMANDS)}


app = typer.Typer(
    cls=InstalledCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain: rich takes a third of the time of `zoo --help` to import
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from zoo import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, measure, publish and serve image classifiers with certified l2 robustness.

    Data go to stdout, progress to stderr. Exit codes: 0 done, 1 the work failed, 2 the request is wrong.
    """


def _put_our_packages_first() -> None:
    """Lets the names of our other packages mean ours, whatever the working folder or PYTHONPATH holds.

    The processes that a command spawns take over sys.path. In a wheel the folder holds nothing but these packages, so
    that it hides no other module.
    """
    folder = str(IN_A_WHEEL if IN_A_WHEEL.is_dir() else BESIDE_ZOO)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]


def main() -> None:
    """The console script: runs one command and exits with its code."""
    _put_our_packages_first()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(args=arguments, prog_name="zoo")  # exits by itself: 2 where the usage is wrong, 130 after Ctrl-C
    except SystemExit as ended:
        if ended.code != CODE_AFTER_CTRL_C:
            raise
        sys.exit(exit_code_of(InterruptionError("interrupted"), debug=debug))
    except Exception as error:
        sys.exit(exit_code_of(error, debug=debug))
