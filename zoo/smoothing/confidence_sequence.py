"""Anytime-valid inference on a binomial probability: it may be looked at after every draw.

A gambler who bets against "the probability is p" multiplies his wealth at each draw by q(x) / p(x), where q is a
mixture of Bernoulli laws under a Beta(1/2, 1/2) prior (Krichevsky and Trofimov 1981). Under p his wealth is a
martingale with mean 1, so by Ville's inequality it ever reaches 1 / alpha with probability at most alpha. Restricting
the prior to the side on which p is to be refuted saves the stakes on the other side: about a seventh of the draws.

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
    """Logarithm of the wealth of bets that the probability lies above `p`, after `counts` of `nums` draws succeeded.

    If the probability is at most `p`, it ever reaches `log(1 / alpha)` with probability at most alpha. Rounded down.
    Shapes: `(M,)` -> `(M,)`. `p` in (0, 1).
    """
    return _log_wealth(counts, nums, p, betaincc)


def log_wealth_below(counts: Ints, nums: Ints, p: float) -> Floats:
    """As `log_wealth_above`, for bets that the probability lies below `p`."""
    return _log_wealth(counts, nums, p, betainc)


def mixture_lower(counts: Ints, nums: Ints, alpha: float) -> Floats:
    """Lower bounds on the probability, all valid at once: the chance that any of them, over all n, exceeds it is at
    most `alpha`. Rounded down. Shapes: `(M,)` -> `(M,)`.

    The largest p below `count / n` that wealth 1 / alpha refutes, under the prior on (1/2, 1], since a bound below 1/2
    certifies nothing. One prior serves all p, so the refuted ones below `count / n` are an interval from 0 on.
    """
    successes, failures = counts.astype(np.float64), (nums - counts).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Refuted are the p with log mixture - (successes log p + failures log(1 - p)) >= log(1 / alpha).
        level = _log_mixture(successes, failures, 0.5, betaincc) + np.log(alpha) - _slack(nums)
        p = np.exp(level / successes)  # too small a p, as if there were no failures
        goes_on = np.ones(p.shape, dtype=bool)
        for _ in range(NEWTON_STEPS):
            # The logarithm of the likelihood is concave: Newton's method from below stays below, sound at every step.
            # Each element ends by itself, so that its last digits do not depend on the others.
            excess = level - xlogy(successes, p) - xlog1py(failures, -p)
            step = excess / (successes / p - failures / (1 - p))
            goes_on &= step > p * 1e-15
            if not goes_on.any():
                break
            p = np.where(goes_on, p + step, p)
    bound: Floats = np.where((successes > 0) & np.isfinite(level) & np.isfinite(p), p, 0.0) * ROUNDING_DOWN
    return bound


def _log_wealth(counts: Ints, nums: Ints, p: float, tail: Any) -> Floats:
    successes, failures = counts.astype(np.float64), (nums - counts).astype(np.float64)
    likelihood = xlogy(successes, p) + xlog1py(failures, -p)
    wealth: Floats = _log_mixture(successes, failures, p, tail) - likelihood - _slack(nums)
    return wealth


def _log_mixture(successes: Floats, failures: Floats, p: float, tail: Any) -> Floats:
    """Logarithm of the draws' probability under the prior restricted to one side of `p`."""
    with np.errstate(divide="ignore"):
        inside = np.log(tail(successes + PRIOR, failures + PRIOR, p)) - np.log(tail(PRIOR, PRIOR, p))
    log_mixture: Floats = betaln(successes + PRIOR, failures + PRIOR) - betaln(PRIOR, PRIOR) + inside
    return log_mixture


def _slack(nums: Ints) -> Floats:
    """More than the rounding error of the logarithms, which are of the size of n log n."""
    slack: Floats = nums.astype(np.float64) * 1e-12 + 1e-9
    return slack
