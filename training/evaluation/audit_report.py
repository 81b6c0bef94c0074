"""An audit's findings, for people or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.evaluation.audit import Audit
from training.evaluation.report import plain
from zoo.results.comparison import Comparison
from zoo.results.implausible import ImplausibleRow


def print_audit(audit: Audit, *, as_json: bool = False) -> None:
    """Prints what was found to stdout, what was refuted first."""
    console = Console()
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
        console.print("too few images to test the card's averages: only single rows were", highlight=False)
    console.print(escape(conditions_of(audit)), highlight=False, soft_wrap=True)


def as_json_object(audit: Audit) -> dict[str, object]:
    """What was found, in the shape that scripts rely on."""
    audited = None if audit.audited is None else plain(audit.audited)
    return {"refuted": audit.is_refuted, **asdict(audit), "audited": audited}


def conditions_of(audit: Audit) -> str:
    """What was drawn, and at which chance of a false alarm it was judged, in words."""
    fewer = "" if audit.n == audit.claimed_n else f" (the card: {audit.claimed_n:,}, its rows subsampled to as many)"
    other = "" if audit.backend == audit.claimed_backend else f" (the card: {audit.claimed_backend})"
    return (
        f"{audit.num_images} random test images, {audit.num_in_log} of them in the log, n {audit.n:,}{fewer}, "
        f"{audit.backend}{other}, seed {audit.seed}; an honest checkpoint is refuted with a chance of at most "
        f"{100 * audit.significance:g} %"
    )


def table_of(comparisons: tuple[Comparison, ...]) -> Table:
    """The card's averages against the audit's."""
    caption = 'same and other images than the log\'s; "reveals": the least overstatement found with a chance of 90 %'
    table = Table(caption=caption, caption_justify="left")
    for name in ("claim", "images", "log", "audit", "p (Holm)", "reveals"):
        table.add_column(name, no_wrap=True)
    for one in comparisons:
        p_value = f"{one.adjusted_p_value:.2g}" + (" refuted" if one.is_refuted else "")
        smallest = "nothing" if one.smallest_overstatement is None else f"+{one.smallest_overstatement:.3f}"
        means = (f"{one.claimed:.3f}", f"{one.audited:.3f}")
        table.add_row(one.claim, f"{one.num_audited} {one.images}", *means, p_value, smallest)
    return table


def describe_row(row: ImplausibleRow) -> str:
    """The refuted row in words."""
    return (
        f"row {row.idx} claims radius {row.radius:.4f} of class {row.predict}, whose probability must then be at least "
        f"{row.p_a_lower:.4f}: at most {row.most_votes:,} of {row.n:,} fresh draws named it"
    )
