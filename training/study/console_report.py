"""The output of `zoo study plan`, `zoo study run` and `zoo study summarize`, as tables or text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from training.study.long_table import RANDOM

if TYPE_CHECKING:
    from training.study.execution import Outcome
    from training.study.folder import State
    from training.study.plan import Run
    from training.study.statistics import InitializationSummary, LinearFit


def plan_as_json(
    runs: Sequence[Run],
    states: Mapping[str, State],
    seconds: Mapping[str, float | None],
    *,
    machine: str | None,
    missing: Mapping[str, str],
    unknown: Mapping[str, str],
) -> dict[str, Any]:
    """The plan as JSON. `estimated_seconds_left` is None if the time of any remaining run is unknown.

    Args:
        runs: The study's runs.
        states: The state of each run by its id.
        seconds: The duration of each run by its id; None if it is unknown.
        machine: What the estimates are for; None if the study does not say.
        missing: A sentence on each missing task or starting point, by its name.
        unknown: The reason why the duration of a run is unknown, by the run's id.
    """
    return {
        "num_runs": dict(Counter(states.values())),
        "estimated_seconds_left": _seconds_left(runs, states, seconds),
        "machine": machine,
        "missing": dict(missing),
        "runs": [
            {
                "id": run.id,
                "starts_from": run.parent or run.model or RANDOM,
                "depends_on": [] if run.parent is None else [run.parent],
                "state": states[run.id],
                "seconds": seconds[run.id],
                "why_unknown": unknown.get(run.id),
                "task": run.task,
                "seed": run.seed,
                "experiment": run.experiment,
            }
            for run in runs
        ],
    }


def time_left_in_words(
    runs: Sequence[Run], states: Mapping[str, State], seconds: Mapping[str, float | None], *, machine: str | None
) -> str:
    """The estimated time of the remaining runs, in words; without the runs of unknown duration."""
    left = [seconds[run.id] for run in runs if states[run.id] != "done"]
    total, where = sum(of_run or 0.0 for of_run in left), "" if machine is None else f" ({machine})"
    num_unknown = left.count(None)
    if num_unknown == len(left) > 0:
        return f"estimated time left: unknown, as for each of the {num_unknown} runs"
    more = f", and the unknown time of {num_unknown} runs" if num_unknown else ""
    return f"estimated time left: {total:,.0f} seconds, {total / 3600:.1f} hours{more}{where}"


def _seconds_left(
    runs: Sequence[Run], states: Mapping[str, State], seconds: Mapping[str, float | None]
) -> float | None:
    """The seconds of the runs that are not done; None if the time of any of them is unknown."""
    left = [seconds[run.id] for run in runs if states[run.id] != "done"]
    return None if None in left else sum(seconds_of_run or 0.0 for seconds_of_run in left)


def plan_table(
    runs: Sequence[Run],
    states: Mapping[str, State],
    seconds: Mapping[str, float | None],
    unknown: Mapping[str, str],
) -> Table:
    """The plan as a table, in the order in which runs are executed; the last line has the total of the known seconds.

    A column says why a duration is unknown, if any is (`unknown`, by the run's id).
    """
    counted = ", ".join(f"{count} {state}" for state, count in Counter(states.values()).items())
    table = Table(title=f"{len(runs)} runs: {counted}", title_justify="left", show_footer=True)
    total = sum(of_run or 0.0 for of_run in seconds.values())
    table.add_column("run", overflow="fold", footer="all" if None not in seconds.values() else "all of known duration")
    table.add_column("starts from", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("seconds", justify="right", footer=f"{total:,.0f}", no_wrap=True)
    if unknown:
        table.add_column("why unknown", overflow="fold")
    for run in runs:
        known = seconds[run.id]
        cells = [run.id, run.parent or run.model or RANDOM, states[run.id], "" if known is None else f"{known:,.0f}"]
        table.add_row(*cells, *([unknown.get(run.id, "")] if unknown else []))
    return table


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome of one process as JSON."""
    return {
        "done": list(outcome.done),
        "failed": outcome.failed,
        "waiting": outcome.waiting,
        "left": list(outcome.left),
    }


def outcome_in_words(outcome: Outcome) -> str:
    """The outcome of one process in words, with the reason why each remaining run was not done."""
    lines = [f"{len(outcome.done)} runs done, {len(outcome.failed)} failed"]
    if outcome.waiting:
        awaited = ", ".join(sorted(set(outcome.waiting.values())))
        lines.append(f"{len(outcome.waiting)} wait for {awaited}: run the same command when these are done")
    if outcome.left:
        lines.append(f"{len(outcome.left)} are left or are being done by another process: {', '.join(outcome.left)}")
    return "\n".join(lines)


SHORT = {
    "standard_accuracy": "SA",
    "robust_accuracy": "RA",
    "certified_accuracy_at_0.5": "CA@0.5",
    "average_certified_radius": "ACR",
}
INTERVALS = "slope: ordinary least squares; R^2: bootstrap over tasks; both at 95 %"


def as_json_object(summary: InitializationSummary) -> dict[str, Any]:
    """One starting point as JSON with a stable format; improvements in percent."""
    return {
        "initialization": summary.initialization,
        "num_tasks": len(summary.tasks),
        "mean_relative_improvement": summary.mean_relative_improvement,
        "r_squared": {name: fit.r_squared for name, fit in summary.fits.items()},
        "fits": {name: asdict(fit) for name, fit in summary.fits.items()},
        "intervals": INTERVALS,
    }


def improvements_table(summaries: Sequence[InitializationSummary]) -> Table:
    """Mean relative improvements over random weights."""
    metrics = list(summaries[0].mean_relative_improvement)
    title = "mean relative improvement over random (%)"
    table = Table("starting point", "tasks", *(SHORT[name] for name in metrics), title=title, title_justify="left")
    for summary in summaries:
        values = [f"{summary.mean_relative_improvement[name]:+.1f}" for name in metrics]
        table.add_row(summary.initialization, str(len(summary.tasks)), *values)
    return table


def fits_table(summaries: Sequence[InitializationSummary]) -> Table:
    """The linear fits of each measure of robustness against standard accuracy."""
    title = "improvement in robustness against improvement in SA, a line through one point per task"
    columns = ("starting point", "measure", "R^2", "95 % interval", "slope", "95 % interval")
    table = Table(*columns, title=title, title_justify="left", caption=INTERVALS, caption_justify="left")
    for summary in summaries:
        for name, fit in summary.fits.items():
            table.add_row(summary.initialization, SHORT[name], *_cells(fit))
    return table


def _cells(fit: LinearFit) -> tuple[str, ...]:
    return (
        f"{fit.r_squared:.2f}",
        "{:.2f} to {:.2f}".format(*fit.r_squared_interval),
        f"{fit.slope:.2f}",
        "{:.2f} to {:.2f}".format(*fit.slope_interval),
    )
