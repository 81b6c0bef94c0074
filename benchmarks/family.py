"""Counts the families of questions in which any certificate is false.

    python -m benchmarks.family

Every question is a null question: the class has the probability 1/2, so that any certified class is false. The client
of a family asks up to 1,000 such questions, as one does who repeats a question until it is certified. The votes are
Bernoulli draws, and the bound is that of the rule "fixed". The first two rows divide alpha as `zoo.smoothing.Family`
does; the others are controls that must exceed alpha.

Prints a Markdown table. Exits with 1 if a family exceeds the 0.9999 quantile of its binomial count, or a control does
not. Takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from zoo.smoothing import Family, FamilyMember
from zoo.smoothing.bounds import clopper_pearson_lower

ALPHAS, FAMILIES, QUESTIONS, N = (0.05, 0.001), 2_000, 1_000, 1_000
NULL = 0.5
QUANTILE = 0.9999
RESTART = 10


def levels(alpha: float, *, size: int | None = None, num: int = QUESTIONS) -> list[float]:
    """The alpha of each question of one family."""
    family = Family(alpha=alpha, size=size)
    return [family.next().level for _ in range(num)]


def restarting_levels(alpha: float, *, num: int = QUESTIONS) -> list[float]:
    """A control: the count of the questions is lost after every RESTART of them."""
    return [FamilyMember(alpha=alpha, index=1 + question % RESTART).level for question in range(num)]


def num_false_families(alphas: Sequence[float], *, num_families: int = FAMILIES, n: int = N, seed: int = 0) -> int:
    """The number of families with any false certificate; `alphas` has the alpha of each question of a family."""
    least_Q = np.array([least_false_count(alpha, n) for alpha in alphas])
    counts_FQ = np.random.default_rng(seed).binomial(n, NULL, size=(num_families, len(alphas)))
    return int((counts_FQ >= least_Q).any(axis=1).sum())


@cache
def least_false_count(alpha: float, n: int) -> int:
    """The smallest count of `n` votes whose lower bound at `alpha` exceeds NULL; n + 1 if none does."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        if clopper_pearson_lower(middle, n, alpha) > NULL:
            high = middle
        else:
            low = middle + 1
    return low


def most_allowed(alpha: float, *, num_families: int = FAMILIES) -> int:
    """The number of false families that is exceeded with probability 0.0001 if alpha is kept exactly."""
    return int(stats.binom.ppf(QUANTILE, num_families, alpha))


def main() -> bool:
    """Prints the table. Whether every row is as expected."""
    print(f"{FAMILIES:,} families of {QUESTIONS:,} null questions with n = {N:,} votes\n")
    print("| alpha | questions | false families | at most |\n|---|---|---|---|")
    is_as_expected = True
    for alpha in ALPHAS:
        rows = {
            "family, number not known": (levels(alpha), True),
            "family, number known": (levels(alpha, size=QUESTIONS), True),
            f"control: the count is lost after every {RESTART}": (restarting_levels(alpha), False),
            "control: alpha each": ([alpha] * QUESTIONS, False),
        }
        most = most_allowed(alpha)
        for name, (alphas, is_kept) in rows.items():
            num_false = num_false_families(alphas)
            is_as_expected &= (num_false <= most) == is_kept
            print(f"| {alpha} | {name} | {num_false:,} | {most:,} |")
    return is_as_expected


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
