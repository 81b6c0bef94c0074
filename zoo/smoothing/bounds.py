"""Exact one-sided confidence bounds on a binomial probability for a fixed number of draws.

Golden numbers (alpha = 0.001): the lower bound exceeds 1/2 if at least 550 of n = 1,000 draws agree. If all of 100,000
draws agree, the radius is 3.8115 sigma.
"""

from scipy.special import betainccinv, betaincinv

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha

# Eight times the spacing of floating-point numbers below 1. SciPy's error is smaller in the allowed ranges.
ROUNDING_DOWN = 1 - 2**-50
ROUNDING_UP = 1 + 2**-50


def clopper_pearson_lower(count: int, n: int, alpha: float) -> float:
    """Lower bound on p after `count` of `n` Bernoulli(p) draws succeeded; wrong with probability at most `alpha`.

    Source: Clopper and Pearson 1934; statsmodels' `proportion_confint(count, n, 2 * alpha, "beta")[0]`.
    Rounded down. Raises: CertificationError unless 0 <= count <= n, n >= 1 and 1e-100 <= alpha < 1.

    >>> from zoo.smoothing.bounds import clopper_pearson_lower
    >>> round(clopper_pearson_lower(990, 1000, alpha=0.001), 4)
    0.976
    """
    alpha = _checked(count, n, alpha)
    return 0.0 if count == 0 else float(betaincinv(count, n - count + 1, alpha)) * ROUNDING_DOWN


def clopper_pearson_upper(count: int, n: int, alpha: float) -> float:
    """Upper bound on p after `count` of `n` Bernoulli(p) draws succeeded; wrong with probability at most `alpha`.

    Source: as for `clopper_pearson_lower`, with index [1]. Rounded up. Raises: as `clopper_pearson_lower`.

    >>> from zoo.smoothing.bounds import clopper_pearson_upper
    >>> round(clopper_pearson_upper(10, 1000, alpha=0.001), 4)
    0.024
    """
    alpha = _checked(count, n, alpha)
    return 1.0 if count == n else min(1.0, float(betainccinv(count + 1, n - count, alpha)) * ROUNDING_UP)


def least_n(alpha: float) -> int:
    """The smallest n whose lower bound exceeds 1/2 if all n draws agree. Fewer draws cannot certify at `alpha`.

    >>> from zoo.smoothing.bounds import least_n
    >>> least_n(0.001)
    10
    """
    alpha = checked_alpha(alpha)
    n = 1
    while alpha ** (1 / n) <= 0.5:
        n += 1
    return n


def _checked(count: int, n: int, alpha: float) -> float:
    if n < 1 or not 0 <= count <= n:
        raise CertificationError(f"count must be in [0, n] and n at least 1, got count={count} and n={n}")
    return checked_alpha(alpha)
