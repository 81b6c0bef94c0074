"""Confidence bounds on a binomial probability, exact and one-sided.

Golden numbers (alpha = 0.001): of n = 1,000 draws at least 550 must agree for a bound above 1/2; if all 100,000
agree, the radius is 3.8115 sigma.
"""

from scipy.special import betaincinv

from zoo.errors import CertificationError


def clopper_pearson_lower(count: int, n: int, alpha: float) -> float:
    """Lower bound on p after `count` of `n` Bernoulli(p) draws succeeded; wrong with probability at most `alpha`.

    Source: Clopper and Pearson 1934; statsmodels' `proportion_confint(count, n, 2 * alpha, "beta")[0]`.
    Raises: CertificationError unless 0 <= count <= n, n >= 1 and 0 < alpha < 1.
    """
    _require_valid(count, n, alpha)
    return 0.0 if count == 0 else float(betaincinv(count, n - count + 1, alpha))


def least_n(alpha: float) -> int:
    """The fewest draws that can certify at `alpha`: the least n whose bound exceeds 1/2 when all n agree."""
    n = 1
    while alpha ** (1 / n) <= 0.5:
        n += 1
    return n


def _require_valid(count: int, n: int, alpha: float) -> None:
    if n < 1 or not 0 <= count <= n:
        raise CertificationError(f"count must be in [0, n] with n at least 1, got count={count}, n={n}")
    if not 0 < alpha < 1:
        raise CertificationError(f"alpha must be in (0, 1), got {alpha}")
