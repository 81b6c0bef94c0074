"""Anytime-valid inference on a binomial probability: valid when evaluated after every draw.

A bet against "the probability is p" multiplies its wealth at each draw by q(x) / p(x), where q is a mixture of
Bernoulli distributions under a Beta(1/2, 1/2) prior (Krichevsky and Trofimov 1981). Under p the wealth is a martingale
with mean 1. By Ville's inequality it ever reaches 1 / alpha with probability at most alpha. Restricting the prior to
the side on which p is to be refuted avoids bets on the other side and saves about a seventh of the draws.

Sources: Ville 1939; Robbins 1970; Howard et al. 2021; for certification Voracek, NeurIPS 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

from zoo.smoothing.bounds import ROUNDING_DOWN

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR = 0.5
NEWTON_STEPS = 60


def log_wealth_above(counts: Ints, nums: Ints, p: float) -> Floats:
    """Log wealth of bets that the probability is above `p`, after `counts` successes in `nums` draws.

    If the probability is at most `p`, the log wealth ever reaches `log(1 / alpha)` with probability at most alpha.
    Rounded down.
    Shapes: `(M,)` -> `(M,)`. `p` in (0, 1).
    """
    return _log_wealth(counts, nums, p, betaincc)


def log_wealth_below(counts: Ints, nums: Ints, p: float) -> Floats:
    """Log wealth of bets that the probability is below `p`. See `log_wealth_above`."""
    return _log_wealth(counts, nums, p, betainc)


def mixture_lower(counts: Ints, nums: Ints, alpha: float) -> Floats:
    """Simultaneous lower bounds of the probability. Shapes: `(M,)` -> `(M,)`. Rounded down.

    Guarantee: the probability that any bound, over all n, exceeds the true value is at most `alpha`.

    A bound is the largest p below `count / n` that wealth 1 / alpha refutes. The prior is on (1/2, 1], because a bound
    below 1/2 certifies nothing. The prior is the same for all p, so the refuted p below `count / n` form an interval
    that begins at 0.
    """
    successes, failures = counts.astype(np.float64), (nums - counts).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The refuted p are those with log mixture - (successes log p + failures log(1 - p)) >= log(1 / alpha).
        level = _log_mixture(successes, failures, 0.5, betaincc) + np.log(alpha) - _slack(nums)
        p = np.exp(level / successes)  # a starting point below the root: no failures assumed; 0 without successes
        is_active = np.ones(p.shape, dtype=bool)
        for _ in range(NEWTON_STEPS):
            # The log likelihood is concave: Newton's method from below stays below and is sound at every step.
            # Each element stops on its own, so that its last digits do not depend on the others.
            excess = level - xlogy(successes, p) - xlog1py(failures, -p)
            step = excess / (successes / p - failures / (1 - p))
            is_active &= step > p * 1e-15
            if not is_active.any():
                break
            p = np.where(is_active, p + step, p)
    bound: Floats = p * ROUNDING_DOWN
    return bound


def _log_wealth(counts: Ints, nums: Ints, p: float, tail: Any) -> Floats:
    successes, failures = counts.astype(np.float64), (nums - counts).astype(np.float64)
    likelihood = xlogy(successes, p) + xlog1py(failures, -p)
    wealth: Floats = _log_mixture(successes, failures, p, tail) - likelihood - _slack(nums)
    return wealth


def _log_mixture(successes: Floats, failures: Floats, p: float, tail: Any) -> Floats:
    """Log probability of the draws under the prior restricted to one side of `p`."""
    with np.errstate(divide="ignore"):
        inside = np.log(tail(successes + PRIOR, failures + PRIOR, p)) - np.log(tail(PRIOR, PRIOR, p))
    log_mixture: Floats = betaln(successes + PRIOR, failures + PRIOR) - betaln(PRIOR, PRIOR) + inside
    return log_mixture


def _slack(nums: Ints) -> Floats:
    """An upper bound of the rounding error of the logarithms, which have the magnitude of n log n."""
    slack: Floats = nums.astype(np.float64) * 1e-12 + 1e-9
    return slack
