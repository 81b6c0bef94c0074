"""Compares the draws that each stopping rule needs with the fixed 100,000 and with Wald's bound.

    python -m benchmarks.stopping

The first table uses classes of known probability. It decides "the radius is at least sigma" (p0 = Phi(1) = 0.841) at
alpha = 0.001 in three ways: by bets whose prior is restricted to the hypothesis under test, as in AtRadius; by bets
with the unrestricted prior of Krichevsky and Trofimov; and by Clopper-Pearson intervals on a geometric grid of looks,
with alpha split over the looks. The second table uses the probabilities that a published certification log implies (500
ImageNet images, consistency regularization, sigma 0.5). It decides several radii, and runs Anytime at several
tolerances, with the average certified radius.

Prints Markdown tables. Everything is simulated: the votes are Bernoulli draws. Takes about three minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import betaincinv, betaln, ndtr, xlog1py, xlogy

from zoo.results.log import read_log
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.confidence_sequence import log_wealth_above, log_wealth_below
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import Anytime, AtRadius, StoppingRule

SIGMA, ALPHA, CAP = 0.5, 0.001, 100_000
RUNS = 1000
PROBABILITIES = (0.87, 0.9, 0.95, 0.98, 0.99, 0.999)
LOG = Path(__file__).parent.parent / "tests/data/consistency_imagenet_sigma0.50.tsv"
GROWTH = 1.1

Decides = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def mixture(counts: np.ndarray, nums: np.ndarray, p0: float) -> np.ndarray:
    """Whether the test of AtRadius, with a prior restricted to each hypothesis, has decided after each draw."""
    return np.maximum(log_wealth_above(counts, nums, p0), log_wealth_below(counts, nums, p0)) >= math.log(1 / ALPHA)


def unrestricted_prior(counts: np.ndarray, nums: np.ndarray, p0: float) -> np.ndarray:
    """Whether Krichevsky and Trofimov's bets, with a Beta(1/2, 1/2) prior on [0, 1], have decided after each draw."""
    failures = nums - counts
    wealth = betaln(counts + 0.5, failures + 0.5) - betaln(0.5, 0.5) - xlogy(counts, p0) - xlog1py(failures, -p0)
    return wealth >= math.log(1 / ALPHA)


def union_bound(counts: np.ndarray, nums: np.ndarray, p0: float) -> np.ndarray:
    """Whether a Clopper-Pearson interval decides at each draw that is a look; other draws never decide.

    Each look comes after about 10 % more draws; the k-th look may err with probability alpha / (k (k + 1)).
    """
    looks = np.unique(np.ceil(GROWTH ** np.arange(11, 140)).astype(int))
    k = np.searchsorted(looks, nums) + 1
    is_look = np.isin(nums, looks)
    spent = ALPHA / (k * (k + 1.0))
    with np.errstate(invalid="ignore"):
        lower = np.where(counts > 0, betaincinv(counts, nums - counts + 1, spent), 0)
        upper = np.where(counts < nums, betaincinv(counts + 1, nums - counts, 1 - spent), 1)
    return is_look & ((lower > p0) | (upper < p0))


def draws_needed(decides: Decides, p: float, p0: float, rng: np.random.Generator) -> int:
    """The number of draws until the decision, at most CAP."""
    nums = np.arange(1, CAP + 1)
    size, counts = 0, np.empty(0, dtype=np.int64)
    while size < CAP:
        more = min(max(256, size * 3), CAP - size)
        before = counts[-1] if size else 0
        counts = np.concatenate([counts, before + np.cumsum(rng.random(more) < p)])
        decided = np.flatnonzero(decides(counts[size:], nums[size : size + more], p0))
        if len(decided):
            return size + int(decided[0]) + 1
        size += more
    return CAP


def run_rule(rule: StoppingRule, p: float, rng: np.random.Generator) -> tuple[int, float]:
    """The number of draws made, and the certified radius."""
    size, count, lower = 0, 0, 0.0
    while True:
        more = rule.num_wanted(size)
        counts = count + np.cumsum(rng.random(more) < p)
        look = rule.look(counts, np.arange(size + 1, size + more + 1), p_a_lower=lower, sigma=SIGMA, alpha=ALPHA)
        lower = look.p_a_lower
        if look.end is not None:
            return size + look.end + 1, radius_of(lower)
        size, count = size + more, int(counts[-1])


def radius_of(p_a_lower: float) -> float:
    return certified_radius(p_a_lower, SIGMA) if p_a_lower > 0.5 else 0.0


def walds_bound(p: float, p0: float) -> float:
    """The least mean number of draws of any test at level alpha that always decides correctly for p.

    Source: Wald 1945.
    """
    return math.log(1 / ALPHA) / (p * math.log(p / p0) + (1 - p) * math.log((1 - p) / (1 - p0)))


def known_probabilities() -> None:
    p0 = float(ndtr(1.0))
    print(f"Deciding radius sigma, alpha {ALPHA}, {RUNS} runs each: mean draws, and their ratio to Wald's bound\n")
    print("| p | Wald | AtRadius | unrestricted prior | union bound | fixed |\n|---|---|---|---|---|---|")
    for p in PROBABILITIES:
        rng, wald = np.random.default_rng(0), walds_bound(p, p0)
        means = [
            np.mean([draws_needed(decides, p, p0, rng) for _ in range(RUNS)])
            for decides in (mixture, unrestricted_prior, union_bound)
        ]
        cells = " | ".join(f"{mean:,.0f} ({mean / wald:.2f}x)" for mean in means)
        print(f"| {p} | {wald:,.0f} | {cells} | {CAP:,} |")


def published_log() -> None:
    radii = [row.radius for row in read_log(LOG)]
    probabilities = [float(ndtr(radius / SIGMA)) for radius in radii]
    print(f"\n{len(radii)} ImageNet images, sigma {SIGMA}, alpha {ALPHA}, at most {CAP:,} draws (n0 apart)\n")
    print("| rule | median draws | mean draws | undecided | mean radius |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    fixed = [clopper_pearson_lower(rng.binomial(CAP, p), CAP, ALPHA) for p in probabilities]
    print(f"| fixed | {CAP:,} | {CAP:,} | | {np.mean([radius_of(bound) for bound in fixed]):.3f} |")
    for radius in (0.25, 0.5, 1.0, 1.5):
        num_draws = [run_rule(AtRadius(radius, CAP), p, rng)[0] for p in probabilities]
        undecided = sum(num >= CAP for num in num_draws)
        print(f"| at-radius {radius} | {np.median(num_draws):,.0f} | {np.mean(num_draws):,.0f} | {undecided} | |")
    for max_n, tolerance in ((CAP, 0.05), (CAP, 0.1), (CAP, 0.2), (10_000, 0.05), (10_000, 0.1), (1_000, 0.1)):
        results = [run_rule(Anytime(max_n, tolerance), p, rng) for p in probabilities]
        num_draws, certified = zip(*results, strict=True)
        name = f"anytime, at most {max_n:,}, tolerance {tolerance}"
        print(f"| {name} | {np.median(num_draws):,.0f} | {np.mean(num_draws):,.0f} | | {np.mean(certified):.3f} |")


if __name__ == "__main__":
    known_probabilities()
    published_log()
