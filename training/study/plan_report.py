"""What `zoo study plan` and `zoo study run` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from training.study.execution import Outcome
from training.study.folder import State
from training.study.long_table import RANDOM
from training.study.plan import Run


def plan_as_json(
    runs: Sequence[Run], states: Mapping[str, State], seconds: Mapping[str, float | None]
) -> dict[str, Any]:
    """The plan for a machine. `estimated_seconds_left` is None if the time of any run that is left is not known."""
    open_seconds = [seconds[run.id] for run in runs if states[run.id] != "done"]
    return {
        "num_runs": dict(Counter(states.values())),
        "estimated_seconds_left": None if None in open_seconds else sum(each or 0.0 for each in open_seconds),
        "runs": [
            {
                "id": run.id,
                "starts_from": run.parent or run.model or RANDOM,
                "depends_on": [] if run.parent is None else [run.parent],
                "state": states[run.id],
                "seconds": seconds[run.id],
                "task": run.task,
                "seed": run.seed,
                "experiment": run.experiment,
            }
            for run in runs
        ],
    }


def plan_table(runs: Sequence[Run], states: Mapping[str, State], seconds: Mapping[str, float | None]) -> Table:
    """The plan for people, in the order in which runs are done."""
    counted = ", ".join(f"{count} {state}" for state, count in Counter(states.values()).items())
    table = Table(title=f"{len(runs)} runs: {counted}", title_justify="left")
    for name in ("run", "starts from", "state", "seconds"):
        table.add_column(name, overflow="fold")
    for run in runs:
        known = seconds[run.id]
        table.add_row(run.id, run.parent or run.model or RANDOM, states[run.id], "?" if known is None else f"{known:g}")
    return table


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """What a process did, for a machine."""
    return {
        "done": list(outcome.done),
        "failed": outcome.failed,
        "waiting": outcome.waiting,
        "left": list(outcome.left),
    }


def outcome_in_words(outcome: Outcome) -> str:
    """What a process did, and why what is left was not done."""
    lines = [f"{len(outcome.done)} runs done, {len(outcome.failed)} failed"]
    if outcome.waiting:
        awaited = ", ".join(sorted(set(outcome.waiting.values())))
        lines.append(f"{len(outcome.waiting)} wait for {awaited}: run the same command when these are done")
    if outcome.left:
        lines.append(f"{len(outcome.left)} are left, or in another process's hands: {', '.join(outcome.left)}")
    return "\n".join(lines)
