"""The study's main numbers: mean relative improvement and R^2 by starting point, next to the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from statistics import fmean

from training.study.evidence import Evidence
from training.study.long_table import ROBUSTNESS, STANDARD_ACCURACY, Kind, LongTable, read_table
from training.study.rendering import SHORT, TextTable
from training.study.statistics import (
    Interval,
    LinearFit,
    fit_line,
    mean_interval,
    relative_improvements,
    summarize_table,
)

PAPERS: dict[Kind, str] = {"empirical": "table4_empirical.csv", "certified": "table5_certified.csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """The mean over tasks of the relative improvement over random weights, in percent.

    `mean` uses the means over seeds; `by_seed` uses the numbers of one seed. `fit` is the line through the means over
    seeds against standard accuracy; None for standard accuracy itself.
    """

    kind: Kind
    initialization: str
    metric: str
    tasks: tuple[str, ...]
    by_seed: dict[int, float]
    mean: float
    fit: LinearFit | None

    @property
    def seeds_interval(self) -> Interval | None:
        return mean_interval(list(self.by_seed.values()))


def improvements(evidence: Evidence) -> list[Improvement]:
    """The improvements by kind of robustness, starting point and metric; without starting points that share no task
    with `random`.
    """
    return [
        improvement
        for kind in ROBUSTNESS
        for table in [evidence.table(kind)]
        for name in table.initializations
        if table.tasks_of(name)
        for improvement in _of_starting_point(evidence, table, name)
    ]


def improvements_table(measured: list[Improvement]) -> TextTable:
    """The improvements as text, next to the paper's improvements from the same starting point."""
    papers = dict(_papers())
    return TextTable(
        title="Relative improvement over random weights, and its linear fit against standard accuracy",
        columns=(
            "robustness", "starting point", "measure", "tasks",
            "mean improvement (%)", "paper", "R^2", "paper", "slope",
        ),
        rows=tuple(_words(row, papers.get((row.kind, row.initialization, row.metric))) for row in measured),
        note="Improvement: 100 x (value / value from random weights - 1), averaged over tasks, for means over seeds; "
        "brackets contain Student's 95 % interval over seeds. R^2 and slope: least squares through one point per task; "
        "brackets contain the 95 % interval, which for R^2 is a bootstrap over tasks. A task is left out if a measure "
        "from random weights is 0. The paper uses other tasks.",
    )  # fmt: skip


def _of_starting_point(evidence: Evidence, table: LongTable, initialization: str) -> Iterator[Improvement]:
    tasks = table.tasks_of(initialization)
    x = relative_improvements(table, initialization, STANDARD_ACCURACY)
    for metric in table.metrics:
        y = relative_improvements(table, initialization, metric)
        yield Improvement(
            kind=table.kind,
            initialization=initialization,
            metric=metric,
            tasks=tuple(tasks),
            by_seed=dict(_by_seed(evidence, table.kind, initialization, metric, tasks)),
            mean=float(y.mean()),
            fit=None if metric == STANDARD_ACCURACY else fit_line(x, y),
        )


def _by_seed(
    evidence: Evidence, kind: Kind, initialization: str, metric: str, tasks: list[str]
) -> Iterator[tuple[int, float]]:
    """The mean improvement of each seed that has results for all the tasks."""
    for seed in evidence.seeds:
        table = evidence.table(kind, seed)
        if table.tasks_of(initialization) == tasks:
            yield seed, fmean(relative_improvements(table, initialization, metric))


def _papers() -> Iterator[tuple[tuple[Kind, str, str], tuple[float, float | None]]]:
    for kind, name in PAPERS.items():
        with as_file(files("training.study") / "paper" / name) as path:
            summaries = summarize_table(read_table(path))
        for summary in summaries:
            for metric, mean in summary.mean_relative_improvement.items():
                fit = summary.fits.get(metric)
                yield (kind, summary.initialization, metric), (mean, None if fit is None else fit.r_squared)


def _words(row: Improvement, paper: tuple[float, float | None] | None) -> tuple[str, ...]:
    mean, r_squared = paper or (None, None)
    fit = row.fit
    return (
        row.kind,
        row.initialization,
        SHORT[row.metric].removesuffix(" (%)"),
        str(len(row.tasks)),
        f"{row.mean:+.1f}{_bracketed(row.seeds_interval, '+.1f')}",
        "" if mean is None else f"{mean:+.1f}",
        "" if fit is None else f"{fit.r_squared:.2f}{_bracketed(fit.r_squared_interval, '.2f')}",
        "" if r_squared is None else f"{r_squared:.2f}",
        "" if fit is None else f"{fit.slope:.2f}{_bracketed(fit.slope_interval, '.2f')}",
    )


def _bracketed(interval: Interval | None, form: str) -> str:
    return "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"
