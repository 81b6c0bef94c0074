"""Prediction without a radius: the most frequent class of the draws, or an abstention."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scipy.special import betainc

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha
from zoo.smoothing.family import FamilyMember

NUM_REPORTED = 5
# SciPy's incomplete beta function errs by less than 1e-13 of its value.
ROUNDING_UP = 1 + 2**-40


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """The result of PREDICT: the smoothed classifier's class, or an abstention.

    Guarantee: a label is wrong with probability at most `alpha`.

    Attributes:
        label: The class, or None for an abstention.
        n, alpha, sigma: The parameters of the prediction.
        top: The most frequent classes with their counts among the `n` draws, at most five, most frequent first.
        class_name: The name of `label`, if names are known.
        family: The place among the questions that share one alpha, of which `alpha` is this prediction's part.
    """

    label: int | None
    n: int
    alpha: float
    sigma: float
    top: tuple[tuple[int, int], ...]
    class_name: str | None = None
    family: FamilyMember | None = None

    @property
    def abstained(self) -> bool:
        return self.label is None


def predict_from_votes(votes: Counter[int], *, alpha: float, sigma: float) -> Votes:
    """The most frequent class if it beats the runner-up significantly at level `alpha`; otherwise an abstention.

    Source: Cohen et al. 2019, PREDICT (two-sided binomial test); ties go to the lowest class.
    """
    ranked = sorted(((label, count) for label, count in votes.items() if count), key=lambda pair: (-pair[1], pair[0]))
    first, second = ranked[0][1], ranked[1][1] if len(ranked) > 1 else 0
    decided = fair_coin_p_value(first, first + second) <= alpha
    label = ranked[0][0] if decided else None
    return Votes(label=label, n=votes.total(), alpha=alpha, sigma=sigma, top=tuple(ranked[:NUM_REPORTED]))


def fair_coin_p_value(count: int, n: int) -> float:
    """Two-sided p-value of `count` heads in `n` tosses of a fair coin, `count` at least `n / 2`; rounded up.

    Source: scipy.stats.binomtest(count, n, 0.5). The distribution is symmetric, so the p-value is twice one tail.
    """
    return min(1.0, 2 * float(betainc(count, n - count + 1, 0.5)) * ROUNDING_UP) if count > 0 else 1.0


def require_can_predict(n: int, alpha: float) -> None:
    """Raises CertificationError if alpha is not a probability or `n` draws can never decide.

    The message names the smallest n that can.
    """
    alpha = checked_alpha(alpha)
    least = 1
    while fair_coin_p_value(least, least) > alpha:
        least += 1
    if n < least:
        raise CertificationError(
            f"n={n} can never decide at alpha={alpha:g}, even if all draws agree: the least n is {least}"
        )
