"""Progress bars, and tables for other programs."""

import io
import warnings

import pytest
from rich.table import Table

from zoo.cli._console import PlainConsole
from zoo.cli._progress import progress_bar, tracked


def test_a_bar_has_its_total_and_warnings_come_after_it():
    written = io.StringIO()
    console = PlainConsole(file=written, force_terminal=True, width=80)
    bar = progress_bar(console, "measuring", total=7, completed=3, unit="steps", shown="loss {:.2f}")
    with pytest.warns(UserWarning, match="a library") as shown, bar as advance:
        warnings.warn("a library complains", stacklevel=1)
        assert not shown.list
        advance(0.25)
    assert "4/7" in written.getvalue() and "loss 0.25" in written.getvalue() and "complains" not in written.getvalue()
    assert list(tracked(["a", "b"], console, "measuring", total=2)) == ["a", "b"] and "2/2" in written.getvalue()


def test_a_table_in_a_pipe_is_a_line_per_row_without_boxes_or_wrapping():
    table = Table("name", "value", title="two rows", show_footer=True, caption="done")
    table.add_row("[bold]" + 300 * "x" + "[/]", "1")
    table.add_row("a\tb\nc", "2")
    table.columns[0].footer = "all"
    written = io.StringIO()
    PlainConsole(file=written, width=20).print(table)
    lines = ["two rows", "name\tvalue", 300 * "x" + "\t1", "a\ufffdb\ufffdc\t2", "all\t", "done"]
    assert written.getvalue().splitlines() == lines
    boxed = io.StringIO()
    PlainConsole(file=boxed, force_terminal=True, width=40).print(table)
    assert len(boxed.getvalue().splitlines()) > len(lines)


def test_a_long_line_is_one_line_in_a_pipe_and_is_wrapped_between_words_on_a_terminal():
    for forced, lines in ((None, ["a certificate says nothing"]), (True, ["a certificate", "says nothing"])):
        written = io.StringIO()
        console = PlainConsole(file=written, force_terminal=forced, width=16)
        console.print("a certificate says nothing", soft_wrap=True, highlight=False)
        assert [line.rstrip() for line in written.getvalue().splitlines()] == lines
