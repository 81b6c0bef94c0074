"""Recomputation of the bound and the radius of each row of a log from its counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from zoo.errors import CertificationError
from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.confidence_sequence import log_wealth_above, mixture_lower
from zoo.smoothing.named_rules import ANYTIME, AT_RADIUS, BETA_MIXTURE, FIXED
from zoo.smoothing.noise import alpha_left
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.stopping import (
    CLOPPER_PEARSON,
    LAST_SHARE,
    SIMULTANEOUS,
    STEP,
    TANGENT_BETS,
    Tally,
    proved_by_sequence,
)
from zoo.smoothing.tangent_bets import gap_of, log_wealth

# The last digits of a bound may differ between machines and library versions.
CLOSE = 1e-9


def recomputation_faults(rows: Sequence[CertificationRow], *, num_values: int, max_n: int | None = None) -> list[str]:
    """One sentence per row that does not follow from its counts.

    Under the rule "anytime" the best bound may come from earlier counts than the final ones. A row of this rule passes
    if its bound is between the bound of the final counts and the best bound that any order of its votes can give.

    Args:
        rows: The rows of the log.
        num_values: The number of values of an input: pixels times channels.
        max_n: The maximum number of draws per image, which the log does not record; by default those that a row made. A
            rule that may end early reserves the discrete noise's part of alpha for all of them.
    """
    faults = []
    for row in rows:
        if row.provenance is None:
            faults.append(f"row {row.idx} does not record how its radius was found")
            continue
        draws = row.provenance.n0 + max(row.provenance.n, max_n or 0)
        fault = _fault(row, row.provenance, num_values * draws)
        faults += [] if fault is None else [f"row {row.idx}: {fault}"]
    return faults


def _fault(row: CertificationRow, provenance: Provenance, num_values: int) -> str | None:
    """The fault of one row, None if it has none. `num_values` is that of all its draws."""
    if provenance.sigma == 0:
        return _differs("p_a_lower", provenance.p_a_lower, 1.0) or _differs("radius", row.radius, 0.0)
    recompute = RULES.get((provenance.stopping, provenance.bound))
    if recompute is None:
        return f"no recomputation is known for the bound {provenance.bound} under the rule {provenance.stopping}"
    alpha, sigma, noise = provenance.alpha, provenance.sigma, provenance.noise
    try:
        left = alpha_left(alpha, sigma=sigma, noise=noise, num_values=num_values)  # type: ignore[arg-type]
    except CertificationError as error:
        return str(error)
    return recompute(row, provenance, left)


def _fixed(row: CertificationRow, provenance: Provenance, alpha: float) -> str | None:
    proof = provenance.proof_by_counts(alpha=alpha)
    if (proof.radius is None) != (row.predict == ABSTAIN):
        if proof.radius is None:
            return f"it certifies radius {row.radius}, but its counts prove no radius"
        return f"it abstains, but its counts prove radius {proof.radius}"
    p_b_upper = provenance.p_b_upper
    return (
        _differs("p_a_lower", provenance.p_a_lower, proof.p_a_lower)
        or (None if p_b_upper is None else _differs("p_b_upper", p_b_upper, proof.p_b_upper))
        or _differs("radius", row.radius, proof.radius or 0.0)
    )


def _anytime(row: CertificationRow, provenance: Provenance, alpha: float) -> str | None:
    count_a, n, p_a_lower = provenance.count_a, provenance.n, provenance.p_a_lower
    assert p_a_lower is not None  # parse_log refuses this bound without it
    counts, nums = np.array([count_a, count_a]), np.array([n, max(count_a, 1)])
    last, most = mixture_lower(counts, nums, alpha).tolist()  # most: if the votes for the class came first
    if not last * (1 - CLOSE) <= p_a_lower <= most * (1 + CLOSE):
        return f"p_a_lower is {p_a_lower}, but its counts give at least {last} and at most {most}"
    if p_a_lower <= 0.5:
        return None if row.predict == ABSTAIN else f"it certifies a class, but p_a_lower is only {p_a_lower}"
    if row.predict == ABSTAIN:
        return f"it abstains, but p_a_lower is {p_a_lower}"
    return _differs("radius", row.radius, certified_radius(p_a_lower, provenance.sigma))


def _at_radius(row: CertificationRow, provenance: Provenance, alpha: float) -> str | None:
    assert provenance.radius_asked is not None  # parse_log refuses an at-radius row without it
    count_a, n, p = provenance.count_a, provenance.n, probability_at(provenance.radius_asked, provenance.sigma)
    wealth = float(log_wealth_above(np.array([count_a]), np.array([n]), p)[0])
    is_certified = wealth >= math.log(1 / alpha) - CLOSE
    p_a_lower = p if is_certified else 0.0
    return _decision_differs(row, provenance, is_certified=is_certified) or _differs(
        "p_a_lower", provenance.p_a_lower, p_a_lower
    )


def _anytime_by_bets(row: CertificationRow, provenance: Provenance, alpha: float) -> str | None:
    count_a, count_b, n, sigma = provenance.count_a, provenance.count_b or 0, provenance.n, provenance.sigma
    claimed = None if row.predict == ABSTAIN else row.radius
    if provenance.p_a_lower is not None:  # the exact look after all draws
        bound = clopper_pearson_lower(count_a, n, LAST_SHARE * alpha)
        radius = certified_radius(bound, sigma) if bound > 0.5 else None
        return _differs("p_a_lower", provenance.p_a_lower, bound) or _differs("radius", claimed, radius)
    last = proved_by_sequence(Tally(count_a=count_a, count_b=count_b, n=n), sigma=sigma, alpha=alpha)
    most = proved_by_sequence(Tally(count_a=count_a, count_b=0, n=count_a), sigma=sigma, alpha=alpha)
    if not _as_number(last) - CLOSE <= _as_number(claimed) <= _as_number(most) + CLOSE:
        return f"radius is {claimed}, but its counts give at least {last} and at most {most}"
    steps = _as_number(claimed) / (STEP * sigma)
    return (
        None
        if claimed is None or abs(steps - round(steps)) <= CLOSE * steps
        else (f"radius is {claimed}, which is not a multiple of {STEP:g} sigma")
    )


def _at_radius_by_bets(row: CertificationRow, provenance: Provenance, alpha: float) -> str | None:
    assert provenance.radius_asked is not None  # parse_log refuses an at-radius row without it
    count_a, count_b, n = provenance.count_a, provenance.count_b or 0, provenance.n
    gap = gap_of(provenance.radius_asked, provenance.sigma)
    wealth = float(log_wealth(np.array([count_a]), np.array([count_b]), np.array([n]), gap=gap)[0])
    return _decision_differs(row, provenance, is_certified=wealth >= math.log(1 / alpha) - CLOSE)


def _decision_differs(row: CertificationRow, provenance: Provenance, *, is_certified: bool) -> str | None:
    if is_certified == (row.predict != ABSTAIN):
        return None
    row_says, counts_say = ("abstains", "certify") if is_certified else ("certifies it", "do not certify")
    counts = f"{provenance.count_a} of {provenance.n} draws"
    return f"{counts} {counts_say} radius {provenance.radius_asked}, but the row {row_says}"


def _as_number(radius: float | None) -> float:
    """The radius, or -1 for an abstention, which proves less than radius 0."""
    return -1.0 if radius is None else radius


def _differs(name: str, claimed: float | None, computed: float | None) -> str | None:
    if claimed is None or computed is None:
        return None if claimed is computed else f"{name} is {claimed}, but its counts give {computed}"
    if math.isclose(claimed, computed, rel_tol=CLOSE, abs_tol=CLOSE):
        return None
    return f"{name} is {claimed}, but its counts give {computed}"


RULES: Mapping[tuple[str, str], Callable[[CertificationRow, Provenance, float], str | None]] = {
    (FIXED, CLOPPER_PEARSON): _fixed,
    (FIXED, SIMULTANEOUS): _fixed,
    (ANYTIME, BETA_MIXTURE): _anytime,
    (AT_RADIUS, BETA_MIXTURE): _at_radius,
    (ANYTIME, TANGENT_BETS): _anytime_by_bets,
    (AT_RADIUS, TANGENT_BETS): _at_radius_by_bets,
}
