"""The output of an audit, as text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from training.evaluation.audit import Audit
from training.evaluation.report import plain
from zoo.cli._console import PlainConsole
from zoo.cli._shares import percent
from zoo.results.comparison import Comparison
from zoo.results.implausible import ImplausibleRow


def print_audit(audit: Audit, *, as_json: bool = False) -> None:
    """Prints the findings to stdout, refutations first."""
    console = PlainConsole()
    if as_json:
        console.out(json.dumps(as_json_object(audit), indent=2), highlight=False)
        return
    verdict = "REFUTED" if audit.is_refuted else "no claim refuted"
    console.print(f"{escape(audit.model)} on {escape(audit.task)}: {verdict}", highlight=False, soft_wrap=True)
    for line in [*audit.contradictions, *map(describe_row, audit.implausible_rows)]:
        console.print(f"- {escape(line)}", highlight=False, soft_wrap=True)
    if audit.audited is None:
        return
    if audit.comparisons:
        console.print(table_of(audit.comparisons))
    else:
        console.print("too few images to test the card's averages: only single rows were tested", highlight=False)
    console.print(escape(conditions_of(audit)), highlight=False, soft_wrap=True)


def as_json_object(audit: Audit) -> dict[str, object]:
    """The findings as JSON with a stable format."""
    audited = None if audit.audited is None else plain(audit.audited)
    return {"refuted": audit.is_refuted, **asdict(audit), "audited": audited}


def conditions_of(audit: Audit) -> str:
    """The audited images, draws and backend, and the probability of a false refutation, in words."""
    fewer = "" if audit.n == audit.claimed_n else f" (the card: {audit.claimed_n:,}, its rows subsampled to as many)"
    other = "" if audit.backend == audit.claimed_backend else f" (the card: {audit.claimed_backend})"
    return (
        f"{audit.num_images} random test images, {audit.num_in_log} of them in the log, n {audit.n:,}{fewer}, "
        f"{audit.backend}{other}, seed {audit.seed}; correct claims are refuted with a probability of at most "
        f"{100 * audit.significance:g} %"
    )


def table_of(comparisons: tuple[Comparison, ...]) -> Table:
    """The card's averages compared with the audit's."""
    caption = (
        '"same": images in the log, "other": not in it; "reveals": the smallest overstatement detected at 90 % power'
    )
    table = Table(caption=caption, caption_justify="left")
    for name in ("claim", "images", "log", "audit", "p (Holm)", "reveals"):
        table.add_column(name, no_wrap=True)
    for test in comparisons:
        p_value = f"{test.adjusted_p_value:.2g}" + (" refuted" if test.is_refuted else "")
        shown = percent if test.is_share else "{:.3f}".format
        smallest = "nothing" if test.smallest_overstatement is None else f"+{shown(test.smallest_overstatement)}"
        means = (shown(test.claimed), shown(test.audited))
        table.add_row(test.claim, f"{test.num_audited} {test.images}", *means, p_value, smallest)
    return table


def describe_row(row: ImplausibleRow) -> str:
    """The refuted row, in words."""
    fresh = f"at most {row.most_votes:,} of {row.n:,} fresh draws gave this class"
    other = ""
    if row.p_b_upper is not None:
        is_alternative = row.radius_by_counts is not None
        other = f", unless every other class has less than {row.p_b_upper:.4f}"
        other = other if is_alternative else f" and of at most {row.p_b_upper:.4f} for every other class"
        fresh += f", and at least {row.least_votes_b:,} gave one other class"
    claim = f"row {row.idx} claims radius {row.radius:.4f} for class {row.predict}"
    if row.radius_by_counts is not None:
        claim += f" by counts that all but exclude a radius below {row.radius_by_counts:.4f}"
    return f"{claim}, which needs a class probability of at least {row.p_a_lower:.4f}{other}; {fresh}"
