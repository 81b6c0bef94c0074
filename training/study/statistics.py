"""Relative improvement over random weights, and linear fits of one improvement against another.

The paper's numbers (sections 4.2 and 4.3) are the arithmetic mean over tasks of 100 * (value / value from random
weights - 1), and the R^2 of an ordinary least squares line through one point per task. Its Table 4 gives 11.4 and
12.6 % for adversarial pre-training, and R^2 0.98.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from training.study.long_table import RANDOM, STANDARD_ACCURACY, LongTable
from zoo.errors import LogError

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000
RESAMPLING_SEED = 0
FEWEST_TASKS = 3
"""A line fits any two points exactly."""

Values = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """`y = intercept + slope * x` through one point per task.

    Intervals are at 95 %. That of the slope is from ordinary least squares. That of R^2 is a percentile bootstrap over
    tasks (resamples with at least three different tasks), which is too narrow for few tasks.
    """

    num_tasks: int
    slope: float
    slope_interval: Interval
    intercept: float
    r_squared: float
    r_squared_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class InitializationSummary:
    """The improvement by pre-training over random weights, in percent.

    `fits` has the fit of each measure of robustness against standard accuracy. It is empty if there are fewer than
    three tasks or their values do not differ.
    """

    initialization: str
    tasks: tuple[str, ...]
    mean_relative_improvement: dict[str, float]
    fits: dict[str, LinearFit]


def summarize_table(table: LongTable) -> list[InitializationSummary]:
    """A summary for each starting point except `random`.

    Raises: LogError if there is no such starting point, one shares no task with `random`, or a number from `random` is
    0.
    """
    if not table.initializations:
        raise LogError(f"the table has no starting point except {RANDOM}; an improvement needs another one")
    return [_summary(table, name) for name in table.initializations]


def relative_improvements(table: LongTable, initialization: str, metric: str) -> Values:
    """The improvements over `random` in percent, one for each of the starting point's tasks.

    Raises: LogError if the starting point shares no task with `random`, or a number from `random` is 0.
    """
    tasks = table.tasks_of(initialization)
    if not tasks:
        raise LogError(f"{initialization} shares no task with {RANDOM}: the table needs both for at least one task")
    reached = np.array([table.cells[task, initialization][metric] for task in tasks])
    baseline = np.array([table.cells[task, RANDOM][metric] for task in tasks])
    if not baseline.all():
        task = tasks[int(np.flatnonzero(baseline == 0)[0])]
        raise LogError(f"{metric} of {task} from {RANDOM} is 0, so the relative improvement is undefined")
    improvements: Values = 100 * (reached / baseline - 1)
    return improvements


def fit_line(x: Values, y: Values) -> LinearFit | None:
    """The least-squares line; None for fewer than three points, or if x or y does not vary.

    By numpy, because the import of `scipy.stats` or statsmodels would double the time of `zoo study summarize`.
    """
    if len(x) < FEWEST_TASKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    # Distances from the mean of x keep the problem well conditioned, even if the values of x differ only by rounding.
    (slope, middle), covariance = np.polyfit(x - x.mean(), y, deg=1, cov=True)
    half = _quantile_of_t(len(x) - 2) * math.sqrt(covariance[0, 0])
    return LinearFit(
        num_tasks=len(x),
        slope=float(slope),
        slope_interval=(float(slope - half), float(slope + half)),
        intercept=float(middle - slope * x.mean()),
        r_squared=float(np.corrcoef(x, y)[0, 1] ** 2),
        r_squared_interval=_r_squared_interval(x, y),
    )


def band(x: Values, y: Values, at: Values) -> tuple[Values, Values, Values]:
    """The fitted line at the positions `at`, and its 95 % confidence band: middle, low, high."""
    from statsmodels.regression.linear_model import OLS  # a third of the import of statsmodels.api
    from statsmodels.tools.tools import add_constant

    fitted = OLS(y, add_constant(x)).fit()
    predicted = fitted.get_prediction(add_constant(at, has_constant="add"))
    low, high = predicted.conf_int(alpha=1 - CONFIDENCE).T
    return predicted.predicted_mean, low, high


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of the mean of the values; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * _quantile_of_t(len(values) - 1)
    return mean - half, mean + half


def _quantile_of_t(degrees: int) -> float:
    """The upper end of the two-sided 95 % interval of Student's t."""
    return float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))


def _summary(table: LongTable, initialization: str) -> InitializationSummary:
    improvements = {name: relative_improvements(table, initialization, name) for name in table.metrics}
    x = improvements[STANDARD_ACCURACY]
    fits = {name: fit_line(x, y) for name, y in improvements.items() if name != STANDARD_ACCURACY}
    return InitializationSummary(
        initialization=initialization,
        tasks=tuple(table.tasks_of(initialization)),
        mean_relative_improvement={name: float(values.mean()) for name, values in improvements.items()},
        fits={name: fit for name, fit in fits.items() if fit is not None},
    )


def _r_squared_interval(x: Values, y: Values) -> Interval:
    rng = np.random.default_rng(RESAMPLING_SEED)
    drawn = rng.integers(len(x), size=(NUM_RESAMPLES, len(x)))
    x_RT, y_RT = x[drawn], y[drawn]
    x_RT, y_RT = x_RT - x_RT.mean(axis=1, keepdims=True), y_RT - y_RT.mean(axis=1, keepdims=True)
    product_R, squares_R = (x_RT * y_RT).sum(axis=1), (x_RT**2).sum(axis=1) * (y_RT**2).sum(axis=1)
    # A line fits any two tasks exactly, and one task determines no line.
    has_enough_R = (np.diff(np.sort(drawn), axis=1) > 0).sum(axis=1) + 1 >= FEWEST_TASKS
    is_kept_R = has_enough_R & (squares_R > 0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(product_R[is_kept_R] ** 2 / squares_R[is_kept_R], [tail, 1 - tail])
    return float(low), float(high)
