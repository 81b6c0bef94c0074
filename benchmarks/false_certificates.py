"""Counts false certificates of the at-radius test where the radius is only just wrong.

    python -m benchmarks.false_certificates

Each run draws votes of classes whose probabilities lie on the boundary of the null hypothesis: the radius asked is the
true radius, and any certificate of a slightly larger one would be wrong. The test looks after every draw. At most a
share alpha of the runs may ever certify. The table gives the number that do, and the 0.9999 quantile of the binomial
distribution with probability alpha.

Three negative controls break one condition of the proof each: the best bet is chosen after the draws, the tangents are
moved inwards, and the class is selected by the draws that are tested. The counts must exceed the quantile there.

    python -m benchmarks.false_certificates --known-distances

counts false certificates of all rules and bounds under both noises, from the noise to the certificate, about base
classifiers whose distances are exactly known (`known_distances`). As a negative control, alpha is 0.9 for the
half-space: more certificates are false than 0.05 allows.

Prints Markdown tables. Everything is simulated. Takes about ten minutes each.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtri

from benchmarks.known_distances import HALF_SPACE, PLURALITY, RULES, THREE_PLANES, Planes, certificates, is_false
from zoo.smoothing import Noise
from zoo.smoothing.tangent_bets import Bets, bets_on, log_wealth

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Wealth = Callable[[Ints, Ints, Ints, float], Floats]

ALPHAS = (0.05, 0.001)
NOISES: tuple[Noise, ...] = ("gaussian", "discrete")


@dataclass(frozen=True)
class Boundary:
    """Probabilities of the selected class and of the runner-up; the other `num_classes - 2` share the rest."""

    p_a: float
    p_b: float
    num_classes: int

    @property
    def gap(self) -> float:
        return float(ndtri(self.p_a) - ndtri(self.p_b))

    @property
    def probabilities(self) -> Floats:
        rest = np.full(self.num_classes - 2, 1 - self.p_a - self.p_b)
        return np.concatenate([[self.p_a, self.p_b], rest / max(1, self.num_classes - 2)])


BOUNDARIES = (
    Boundary(0.97, 0.03, 2),
    Boundary(0.8, 0.05, 10),
    Boundary(0.6, 0.1, 1000),
    Boundary(0.6, 0.4, 2),
    Boundary(0.45, 0.35, 3),
    Boundary(0.3, 0.1, 10),
    Boundary(0.1, 0.02, 1000),
    Boundary(0.3, 0.3, 10),  # no lead at all: radius 0
)
LONG = (BOUNDARIES[1], BOUNDARIES[4], BOUNDARIES[6])


def usual_wealth(a_M: Ints, b_M: Ints, num_M: Ints, gap: float) -> Floats:
    return log_wealth(a_M, b_M, num_M, gap=gap)


def best_bet(a_M: Ints, b_M: Ints, num_M: Ints, gap: float) -> Floats:
    """Negative control: the wealth of the bet that the draws favoured most."""
    return _logs(bets_on(gap), a_M, b_M, num_M).max(axis=1)


def inner_tangents(a_M: Ints, b_M: Ints, num_M: Ints, gap: float) -> Floats:
    """Negative control: every intercept is smaller by 0.02, so the lines cut into the null hypothesis."""
    bets = bets_on(gap)
    shifted = (np.log1p(np.expm1(log) + 0.02) for log in (bets.log_a, bets.log_b, bets.log_rest))
    log_a, log_b, log_rest = shifted
    logs_MJ = _logs(replace(bets, log_a=log_a, log_b=log_b, log_rest=log_rest), a_M, b_M, num_M)
    return np.logaddexp.reduce(logs_MJ + bets.log_weight, axis=1)


def _logs(bets: Bets, a_M: Ints, b_M: Ints, num_M: Ints) -> Floats:
    a_M1, b_M1, rest_M1 = a_M[:, None], b_M[:, None], (num_M - a_M - b_M)[:, None]
    logs_MJ: Floats = a_M1 * bets.log_a + b_M1 * bets.log_b + rest_M1 * bets.log_rest
    return logs_MJ


def greatest_wealth(
    boundary: Boundary,
    *,
    runs: int,
    max_n: int,
    wealth: Wealth = usual_wealth,
    selects_from_same_draws: bool = False,
    gap: float | None = None,
    seed: int = 0,
) -> Floats:
    """The greatest log wealth of each run over all numbers of draws, shape `(runs,)`.

    `gap` is the gap under test, by default the true one. With `selects_from_same_draws`, the class under test is the
    most frequent one after each draw.
    """
    rng, gap = np.random.default_rng(seed), boundary.gap if gap is None else gap
    cumulative_K = boundary.probabilities.cumsum()[:-1]
    counts_RK = np.zeros((runs, boundary.num_classes), dtype=np.int32)
    run_R, most_other_R, greatest_R = np.arange(runs), np.zeros(runs, dtype=np.int64), np.full(runs, -np.inf)
    for num in range(1, max_n + 1):
        classes_R = np.searchsorted(cumulative_K, rng.random(runs), side="right")
        counts_RK[run_R, classes_R] += 1
        if selects_from_same_draws:
            first_two_R2 = np.partition(counts_RK, -2, axis=1)[:, -2:].astype(np.int64)
            counts_a_R, most_other_R = first_two_R2[:, 1], first_two_R2[:, 0]
        else:
            counts_a_R = counts_RK[:, 0].astype(np.int64)
            drawn_R = np.where(classes_R == 0, 0, counts_RK[run_R, classes_R])
            most_other_R = np.maximum(most_other_R, drawn_R)
        # Many runs have the same votes: the wealth is computed once for each pair of counts.
        codes_U, places_R = np.unique(counts_a_R * (max_n + 1) + most_other_R, return_inverse=True)
        a_U, b_U = np.divmod(codes_U, max_n + 1)
        greatest_R = np.maximum(greatest_R, wealth(a_U, b_U, np.full_like(a_U, num), gap)[places_R])
    return greatest_R


def num_false(greatest_R: Floats, alpha: float) -> int:
    """The number of runs that ever certify at level alpha."""
    return int((greatest_R >= math.log(1 / alpha)).sum())


def most_allowed(runs: int, alpha: float) -> int:
    """The 0.9999 quantile of the number of false certificates if their probability is alpha."""
    return int(stats.binom.ppf(0.9999, runs, alpha))


def _table(boundaries: tuple[Boundary, ...], *, runs: int, max_n: int) -> None:
    print(f"\n{runs:,} runs of at most {max_n:,} draws\n")
    print("| p_A | p_B | classes | " + " | ".join(f"alpha {alpha:g} (allowed)" for alpha in ALPHAS) + " |")
    print("|---|---|---|" + "---|" * len(ALPHAS))
    for boundary in boundaries:
        greatest_R = greatest_wealth(boundary, runs=runs, max_n=max_n)
        cells = [f"{num_false(greatest_R, alpha)} ({most_allowed(runs, alpha)})" for alpha in ALPHAS]
        print(f"| {boundary.p_a:g} | {boundary.p_b:g} | {boundary.num_classes} | {' | '.join(cells)} |", flush=True)


def _controls(runs: int, max_n: int) -> None:
    print(f"\nNegative controls, alpha 0.05, {runs:,} runs of at most {max_n:,} draws\n")
    print("| control | false certificates | allowed |\n|---|---|---|")
    two, tie = BOUNDARIES[3], Boundary(0.5, 0.5, 2)
    controls = {
        "best bet chosen after the draws": greatest_wealth(two, runs=runs, max_n=max_n, wealth=best_bet),
        "tangents moved inwards by 0.02": greatest_wealth(two, runs=runs, max_n=max_n, wealth=inner_tangents),
        "class selected from the same draws": greatest_wealth(
            tie, runs=runs, max_n=max_n, selects_from_same_draws=True
        ),
    }
    for name, greatest_R in controls.items():
        print(f"| {name} | {num_false(greatest_R, 0.05)} | {most_allowed(runs, 0.05)} |")


def _known_distances(noise: Noise, *, runs: int, n: int) -> None:
    print(f"\nKnown distances, {runs:,} certifications of at most {n:,} draws: false certificates of all\n")
    print("| noise | classifier | rule, bound | " + " | ".join(f"alpha {alpha:g} (allowed)" for alpha in ALPHAS) + " |")
    print("|---|---|---|" + "---|" * len(ALPHAS))
    cases = {"half-space": HALF_SPACE, "three planes": THREE_PLANES, "three planes, p_A below 1/2": PLURALITY}
    for name, planes in cases.items():
        for rule in RULES:
            cells = [_known_distance(planes, rule, noise, alpha=alpha, runs=runs, n=n) for alpha in ALPHAS]
            print(f"| {noise} | {name} | {rule} | {' | '.join(cells)} |", flush=True)
    print(f"\nNegative control, alpha 0.9 (0.05 allows {most_allowed(runs, 0.05)})\n")
    for rule in RULES:
        print(f"- {rule}: {_known_distance(HALF_SPACE, rule, noise, alpha=0.9, runs=runs, n=n)}", flush=True)


def _known_distance(planes: Planes, rule: str, noise: Noise, *, alpha: float, runs: int, n: int) -> str:
    found = certificates(planes, rule, noise, alpha=alpha, n=n, runs=runs)
    num_false = sum(is_false(certificate, planes.distance(noise)) for certificate in found)
    num_certified = sum(not certificate.abstained for certificate in found)
    return f"{num_false} of {num_certified} ({most_allowed(runs, alpha)})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_certificates")
    parser.add_argument("--known-distances", action="store_true")
    if parser.parse_args().known_distances:
        for noise in NOISES:
            _known_distances(noise, runs=500, n=128)
        return
    _table(BOUNDARIES, runs=20_000, max_n=2_000)
    _table(LONG, runs=2_000, max_n=20_000)
    _controls(runs=20_000, max_n=1_000)


if __name__ == "__main__":
    main()
