"""Does a row of a log follow from its own counts? The bound and the radius of each, computed again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.confidence_sequence import log_wealth_above, mixture_lower
from zoo.smoothing.jobs import alpha_left
from zoo.smoothing.named_rules import ANYTIME, AT_RADIUS, FIXED
from zoo.smoothing.radius import certified_radius, probability_at

# Another machine's library may differ in a bound's last digits.
CLOSE = 1e-9


def recomputation_faults(rows: Sequence[CertificationRow], *, num_values: int) -> list[str]:
    """In words, each row that its counts do not give; `num_values` are the pixels of an input, times its channels.

    Under the rule "anytime" the best bound may have been an earlier one than that of the counts at the end: such a row
    is held to be right if its bound lies between that one and the best that any order of its votes could have given.
    """
    faults = []
    for row in rows:
        if row.provenance is None:
            faults.append(f"row {row.idx} does not say how its radius was found")
            continue
        fault = _fault(row, row.provenance, num_values)
        faults += [] if fault is None else [f"row {row.idx}: {fault}"]
    return faults


def _fault(row: CertificationRow, how: Provenance, num_values: int) -> str | None:
    if how.sigma == 0:
        return _differs("p_a_lower", how.p_a_lower, 1.0) or _differs("radius", row.radius, 0.0)
    left = alpha_left(how.alpha, sigma=how.sigma, noise=how.noise, num_values=num_values)  # type: ignore[arg-type]
    return RULES[how.stopping](row, how, left)


def _fixed(row: CertificationRow, how: Provenance, alpha: float) -> str | None:
    if how.bound is not None:
        return _simultaneous(row, how, alpha)
    bound = clopper_pearson_lower(how.count_a, how.n, alpha)
    return _differs("p_a_lower", how.p_a_lower, bound) or _radius_differs(row, how)


def _simultaneous(row: CertificationRow, how: Provenance, alpha: float) -> str | None:
    proof = how.proof_by_counts(alpha=alpha)
    if (proof.radius is None) != (row.predict == ABSTAIN):
        proved = "no radius" if proof.radius is None else f"radius {proof.radius}"
        return f"its counts prove {proved}, and the row says otherwise"
    return _differs("p_a_lower", how.p_a_lower, proof.p_a_lower) or _differs("radius", row.radius, proof.radius or 0.0)


def _anytime(row: CertificationRow, how: Provenance, alpha: float) -> str | None:
    counts, nums = np.array([how.count_a, how.count_a]), np.array([how.n, max(how.count_a, 1)])
    last, most = mixture_lower(counts, nums, alpha).tolist()  # most: the votes for the class came first
    if not last * (1 - CLOSE) <= how.p_a_lower <= most * (1 + CLOSE):
        return f"p_a_lower is {how.p_a_lower}, its counts give at least {last} and at most {most}"
    return _radius_differs(row, how)


def _at_radius(row: CertificationRow, how: Provenance, alpha: float) -> str | None:
    assert how.radius_asked is not None  # a log without it is not read
    p = probability_at(how.radius_asked, how.sigma)
    wealth = float(log_wealth_above(np.array([how.count_a]), np.array([how.n]), p)[0])
    is_certified = wealth >= math.log(1 / alpha) - CLOSE
    if is_certified != (row.predict != ABSTAIN):
        decided = "certify the radius" if is_certified else "do not certify the radius"
        return f"{how.count_a} of {how.n} draws {decided} {how.radius_asked}, and the row says otherwise"
    return _differs("p_a_lower", how.p_a_lower, p if is_certified else 0.0)


def _radius_differs(row: CertificationRow, how: Provenance) -> str | None:
    if how.p_a_lower <= 0.5:
        return None if row.predict == ABSTAIN else f"it answers, though p_a_lower is only {how.p_a_lower}"
    if row.predict == ABSTAIN:
        return f"it abstains, though p_a_lower is {how.p_a_lower}"
    return _differs("radius", row.radius, certified_radius(how.p_a_lower, how.sigma))


def _differs(name: str, said: float, computed: float) -> str | None:
    if math.isclose(said, computed, rel_tol=CLOSE, abs_tol=CLOSE):
        return None
    return f"{name} is {said}, its counts give {computed}"


RULES: Mapping[str, Callable[[CertificationRow, Provenance, float], str | None]] = {
    FIXED: _fixed,
    ANYTIME: _anytime,
    AT_RADIUS: _at_radius,
}
