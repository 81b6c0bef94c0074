"""What the commands print: no text of others controls the terminal, and every command prints by the same functions."""

import ast
import io
import json
from pathlib import Path

import pytest
from rich.table import Table

from serving.commands.predict import _print_answer
from zoo.cli._console import PlainConsole
from zoo.cli._errors import exit_code_of
from zoo.cli._plain import cell, echo, plain
from zoo.errors import CheckpointError

ROOT = Path(__file__).parents[3]
HARMFUL = "\x1b]0;owned\x07\x1b[31m \x9b2J \r \u202e \u2028 \ud800 \x00"


@pytest.mark.parametrize("character", HARMFUL.replace(" ", "").translate(str.maketrans("", "", "]0;owned[31mJ2")))
def test_characters_that_control_a_terminal_are_replaced(character):
    assert plain(f"a{character}b") == cell(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    "text", ["", "cat", "Katze, sch\u00f6n", "\u732b", "a\u200db", "\N{CAT FACE}", "two\nlines\tx"]
)
def test_other_text_stays_as_it_is(text):
    assert plain(text) == text


def test_a_cell_is_one_line_without_tabs():
    assert cell("a\nb\tc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c" and cell(1.5) == "1.5"


def test_names_in_answers_tables_and_errors_are_made_plain(capsys):
    answer = {"label": 3, "class_name": f"{HARMFUL}\n9\tcat", "abstained": False, "certificate": {"radius": 0.5}}
    _print_answer(Path("a\x1b.png"), answer, as_json=False, single=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.count("\t") == 4 and line.endswith("\tFalse\t0.5")
    echo(HARMFUL)
    echo(HARMFUL, err=True)
    exit_code_of(CheckpointError(HARMFUL), debug=True)
    exit_code_of(ValueError(HARMFUL), debug=False)
    written = io.StringIO()
    table = Table(HARMFUL)
    table.add_row(HARMFUL)
    PlainConsole(file=written).print(table, HARMFUL, f"[bold]{HARMFUL}[/bold]")
    printed = "".join((*capsys.readouterr(), line, written.getvalue()))
    assert printed.count("owned") >= 10 and plain(printed) == printed


def test_a_console_keeps_its_own_colours():
    written = io.StringIO()
    PlainConsole(file=written, force_terminal=True, color_system="standard", highlight=False).print(
        "[red]a\x1b[31mb[/]"
    )
    assert written.getvalue() == "\x1b[31ma\N{REPLACEMENT CHARACTER}[31mb\x1b[0m\n"


def test_json_keeps_every_character_of_a_name(capsys):
    _print_answer(Path("a.png"), {"class_name": HARMFUL}, as_json=True, single=True)
    printed = capsys.readouterr().out
    assert plain(printed) == printed and json.loads(printed)["class_name"] == HARMFUL


PRINTERS = {"print", "typer.echo", "typer.secho", "click.echo", "Console", "sys.stdout.write", "sys.stderr.write"}
ALLOWED = {Path("zoo/cli/_plain.py"), Path("zoo/cli/_errors.py")}
COMMANDS = ("zoo/cli", "serving/commands", "training/commands")


def test_every_command_prints_by_these_functions():
    found = set()
    for folder in COMMANDS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            if any(ast.unparse(call.func) in PRINTERS for call in calls):
                found.add(path.relative_to(ROOT))
    assert found == ALLOWED, "print by zoo.cli._plain.echo or by zoo.cli._console.PlainConsole"
