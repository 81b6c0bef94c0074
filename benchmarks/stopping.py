"""Compares the draws that the stopping rules need with those of one-sided rules, a fixed n and the information bound.

    python -m benchmarks.stopping [--log FILE.tsv]

The first table tests one radius for classes of known probability (sigma 0.5, alpha 0.001): the test of AtRadius, which
uses the runner-up; a one-sided test, which gives the runner-up all that the top class leaves; and the information
bound. No test at level alpha that always certifies needs fewer draws on average than `log(1 / alpha) / KL`, where KL is
the least divergence of the true probabilities from those that do not allow the radius (Wald 1945). A run that has not
certified after 100,000 draws counts as 100,000.

The second table uses the probabilities that a published certification log implies (500 ImageNet images, consistency
regularization, sigma 0.5). The log does not record the runner-up, which gets all the rest: the worst case of the new
rules. With `--log`, only one table is printed, for a log of `zoo certify` with the votes for the runner-up; the other
classes share the rest. Both tables compare AtRadius with the one-sided test, and Anytime with fixed numbers of draws.

Prints Markdown tables. All votes are simulated. Takes about fifteen minutes, or about ten with a log.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from zoo.results.log import read_log
from zoo.results.summary import binomial_interval
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.confidence_sequence import log_wealth_above, log_wealth_below
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.stopping import Anytime, AtRadius, StoppingRule, Tallies, Tally
from zoo.smoothing.vote_counts import VoteCounts

Floats = npt.NDArray[np.float64]
Rule = Callable[[Floats, np.random.Generator], tuple[int, float | None]]

SIGMA, ALPHA, CAP = 0.5, 0.001, 100_000
RUNS = 1000
POINTS = ((0.8, 0.05, 0.4), (0.9, 0.03, 0.5), (0.6, 0.1, 0.25), (0.97, 0.03, 0.5), (0.99, 0.005, 0.5))
NUM_CLASSES = 10
LOG = Path(__file__).parent.parent / "tests/data/consistency_imagenet_sigma0.50.tsv"
RADII = (0.25, 0.5, 1.0)


def probabilities(p_a: float, p_b: float) -> Floats:
    """Probabilities of the selected class, the runner-up, and eight others that share the rest."""
    rest = max(0.0, 1 - p_a - p_b)
    p_K = np.array([p_a, p_b, *[rest / (NUM_CLASSES - 2)] * (NUM_CLASSES - 2)])
    return p_K / p_K.sum()


def information_bound(p_a: float, p_b: float, radius: float) -> float:
    """The least mean number of draws of a test at level alpha that always certifies the radius."""
    gap = 2 * radius / SIGMA

    def divergence(log_q: float) -> float:
        q = math.exp(log_q)
        p = ndtr(ndtri(q) + gap)
        pairs = ((p_a, p), (p_b, q), (1 - p_a - p_b, max(1 - p - q, 1e-300)))
        return float(sum(true * math.log(true / null) for true, null in pairs if true > 1e-12))

    largest = math.log(ndtr(-gap / 2))
    least = minimize_scalar(divergence, bounds=(largest - 25, largest), method="bounded", options={"xatol": 1e-10})
    return math.log(1 / ALPHA) / min(least.fun, divergence(largest))


def run_rule(rule: StoppingRule) -> Rule:
    """The rule on simulated votes: the number of draws, and the certified radius."""

    def run(p_K: Floats, rng: np.random.Generator) -> tuple[int, float | None]:
        votes, radius, size = VoteCounts(), None, 0
        while True:
            num = rule.num_wanted(size)
            classes_M = rng.choice(len(p_K), size=num, p=p_K)
            a_M, b_M = votes.running(0, classes_M)
            tallies = Tallies(counts_a_M=a_M, counts_b_M=b_M, nums_M=size + np.arange(1, num + 1))
            look = rule.look(tallies, radius=radius, sigma=SIGMA, alpha=ALPHA)
            radius = look.radius
            if look.end is not None:
                tally = Tally(count_a=int(a_M[look.end]), count_b=int(b_M[look.end]), n=size + look.end + 1)
                return tally.n, rule.prove(tally, radius=radius, sigma=SIGMA, alpha=ALPHA).radius
            votes.add(classes_M)
            size += num

    return run


def one_sided(radius: float) -> Rule:
    """The rule of a Beta(1/2, 1/2) mixture restricted to one side of p_A = Phi(radius / sigma), in both directions."""
    p0, threshold = probability_at(radius, SIGMA), math.log(1 / ALPHA)

    def run(p_K: Floats, rng: np.random.Generator) -> tuple[int, float | None]:
        size, count = 0, 0
        while size < CAP:
            num = min(max(256, size), CAP - size)
            counts_M = count + np.cumsum(rng.random(num) < p_K[0])
            nums_M = np.arange(size + 1, size + num + 1)
            is_above_M = log_wealth_above(counts_M, nums_M, p0) >= threshold
            ends = np.flatnonzero(is_above_M | (log_wealth_below(counts_M, nums_M, p0) >= threshold))
            if len(ends):
                return size + int(ends[0]) + 1, radius if is_above_M[ends[0]] else None
            size, count = size + num, int(counts_M[-1])
        return CAP, None

    return run


def fixed(n: int) -> Rule:
    """Clopper and Pearson's bound after n draws."""

    def run(p_K: Floats, rng: np.random.Generator) -> tuple[int, float | None]:
        p_a_lower = clopper_pearson_lower(rng.binomial(n, p_K[0]), n, ALPHA)
        return n, certified_radius(p_a_lower, SIGMA) if p_a_lower > 0.5 else None

    return run


def known_probabilities() -> None:
    print(f"Draws until a radius is certified: sigma {SIGMA}, alpha {ALPHA}, {NUM_CLASSES} classes, {RUNS} runs each\n")
    print(
        "| p_A | p_B | radius | bound | AtRadius: median (mean) | one-sided: median (mean) |\n|---|---|---|---|---|---|"
    )
    for p_a, p_b, radius in POINTS:
        p_K, cells = probabilities(p_a, p_b), []
        for rule, runs in ((run_rule(AtRadius(radius, CAP)), RUNS), (one_sided(radius), RUNS // 10)):
            rng = np.random.default_rng(0)
            results = [rule(p_K, rng) for _ in range(runs)]
            draws = [num if certified is not None else CAP for num, certified in results]
            cells.append(f"{np.median(draws):,.0f} ({np.mean(draws):,.0f})")
        bound = information_bound(p_a, p_b, radius)
        print(f"| {p_a} | {p_b} | {radius} | {bound:,.0f} | {' | '.join(cells)} |", flush=True)


def compare(images: Sequence[tuple[Floats, bool]]) -> None:
    """Tables of the rules over images, each given by its probabilities and whether its class 0 is correct."""
    num = len(images)
    print("| rule | radius | certified accuracy (95 %) | median draws | mean draws | n0 | undecided |")
    print("|---|---|---|---|---|---|---|")
    for radius in RADII:
        rule = AtRadius(radius, CAP)
        for name, run, n0 in (
            ("at-radius", run_rule(rule), rule.usual_n0(sigma=SIGMA)),
            ("one-sided", one_sided(radius), 100),
        ):
            rng = np.random.default_rng(0)
            results = [(run(p_K, rng), is_correct) for p_K, is_correct in images]
            hits = sum(certified is not None and is_correct for (_, certified), is_correct in results)
            low, high = binomial_interval(hits, num)
            draws = [n for (n, _), _ in results]
            undecided = sum(n >= CAP for n in draws)
            share = f"{hits / num:.1%} ({low:.1%} to {high:.1%})"
            cells = [name, radius, share, f"{np.median(draws):,.0f}", f"{np.mean(draws):,.0f}", n0, undecided]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print("\n| rule | mean draws | mean radius |\n|---|---|---|")
    rules = {f"fixed {n:,}": fixed(n) for n in (10_000, 20_000, 40_000, CAP)}
    for max_n, tolerance in ((10_000, 0.0), (10_000, 0.05), (CAP, 0.05), (CAP, 0.1)):
        rules[f"anytime, at most {max_n:,}, tolerance {tolerance}"] = run_rule(Anytime(max_n, tolerance))
    for name, run in rules.items():
        rng = np.random.default_rng(0)
        draws, radii = zip(*[run(p_K, rng) for p_K, _ in images], strict=True)
        print(f"| {name} | {np.mean(draws):,.0f} | {np.mean([radius or 0.0 for radius in radii]):.4f} |", flush=True)


def published_images() -> list[tuple[Floats, bool]]:
    rows = read_log(LOG)
    p_as = [float(ndtr(row.radius / SIGMA)) for row in rows]
    return [(np.array([p_a, 1 - p_a]), row.correct) for p_a, row in zip(p_as, rows, strict=True)]


def logged_images(path: Path) -> list[tuple[Floats, bool]]:
    """The images of a log of `zoo certify`: shares of the votes, and whether the selected class is the true one."""
    images = []
    for row in read_log(path):
        found = row.provenance
        assert found is not None and found.count_b is not None
        assert found.count_label is not None and found.sigma == SIGMA
        p_K = probabilities(found.count_a / found.n, found.count_b / found.n)
        is_correct = row.correct or (row.predict < 0 and found.count_label == found.count_a)
        images.append((p_K, is_correct))
    return images


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, help="a log of zoo certify at sigma 0.5 with the fixed rule")
    log = parser.parse_args().log
    if log is not None:
        images = logged_images(log)
        print(f"Shares of the votes of {len(images)} images in {log.name}\n")
        compare(images)
        return
    known_probabilities()
    print("\nProbabilities of a published log; the runner-up has all the rest\n")
    compare(published_images())


if __name__ == "__main__":
    main()
