"""The `zoo` command. It finds its subcommands by entry points and imports a subcommand only when it runs."""

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
from zoo.cli._help import COMMANDS as GROUPS_OF_COMMANDS
from zoo.cli._help import HelpfulCommand, grouped
from zoo.cli._plain import echo
from zoo.cli._threads import limit_spinning
from zoo.errors import InterruptionError

COMMANDS = "zoo.commands"
SHORT = 65
"""The longest description of a command in `zoo --help`, which has lines of 80 characters."""
PARENT_FOLDER = Path(__file__).parents[2]
FOLDER_IN_WHEEL = PARENT_FOLDER / "certified-zoo"  # pyproject.toml sets this name


class InstalledCommands(TyperGroup):
    """The command group of the installed entry points: functions are commands, Typer apps are subgroups."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_entry_points())

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, names in grouped(self.list_commands(ctx), GROUPS_OF_COMMANDS):
            commands = {name: self.get_command(ctx, name) for name in names}
            rows = [(name, command.get_short_help_str(SHORT)) for name, command in commands.items() if command]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptionError("interrupted") from error

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
    """An app with one command."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name, cls=HelpfulCommand)(function)
    return single


@cache
def _entry_points() -> dict[str, EntryPoint]:
    """The installed commands. Cached, because searching all distributions takes about 20 ms."""
    return {entry.name: entry for entry in entry_points(group=COMMANDS)}


app = typer.Typer(
    cls=InstalledCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would take a third of the time of `zoo --help`
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        from zoo import __version__

        echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, measure, publish and serve image classifiers with certified l2 robustness.

    Data go to stdout, progress to stderr. Exit codes: 0 success, 1 the work failed, 2 the request is invalid,
    130 interrupted by Ctrl-C.
    """


def _put_our_packages_first() -> None:
    """Puts our other packages first on sys.path, before modules of the same names in the working folder or PYTHONPATH.

    The processes that a command spawns inherit sys.path. In a wheel the folder contains only these packages, so it
    hides no other module.
    """
    folder = str(FOLDER_IN_WHEEL if FOLDER_IN_WHEEL.is_dir() else PARENT_FOLDER)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]


def main() -> None:
    """The console script: runs one command and exits with its code."""
    limit_spinning()
    _put_our_packages_first()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(args=arguments, prog_name="zoo")  # raises SystemExit: 2 for wrong usage
    except Exception as error:
        sys.exit(exit_code_of(error, debug=debug))
