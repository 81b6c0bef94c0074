"""Refuses rows that claim what cannot be: counts that no votes give, or more than the row's own bound proves."""

from __future__ import annotations

from zoo.results.row import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.arguments import checked_alpha, checked_sigma
from zoo.smoothing.named_rules import AT_RADIUS, BOUNDS, FIXED, RULES
from zoo.smoothing.noise import require_noise
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import SIMULTANEOUS, TANGENT_BETS, Proof

# The last digits of a bound may differ between machines and library versions.
ROUNDING = 1e-12


def require_possible(row: CertificationRow, provenance: Provenance) -> None:
    """Raises ValueError if the row does not fit its rule, its counts or its bound; CertificationError for arguments."""
    _require_answers(row, provenance.stopping, provenance.radius_asked)
    _require_counts(row, provenance)
    _require_claims(row.radius, provenance)


def _require_answers(row: CertificationRow, stopping: str, radius_asked: float | None) -> None:
    """Raises ValueError if the row does not fit its rule: at-radius rows certify the requested radius or abstain."""
    if stopping not in RULES:
        raise ValueError(f"stopping is {stopping!r}, expected one of {', '.join(RULES)}")
    if stopping != AT_RADIUS:
        if radius_asked is not None:
            raise ValueError(f"radius_asked is {radius_asked}, but the rule is {stopping}")
    elif radius_asked is None:
        raise ValueError("an at-radius row has no radius_asked")
    elif row.predict != ABSTAIN and row.radius != radius_asked:
        raise ValueError(f"radius {row.radius} is neither the requested {radius_asked} nor an abstention")


def _require_counts(row: CertificationRow, provenance: Provenance) -> None:
    """Raises ValueError if no votes can give these counts."""
    if not 0 <= provenance.count_a <= provenance.n or provenance.n < 1 or provenance.n0 < 0:
        counts = f"count_a is {provenance.count_a} of n {provenance.n} after n0 {provenance.n0}"
        raise ValueError(f"{counts}: expected 0 <= count_a <= n, n >= 1 and n0 >= 0")
    count_a, count_b, count_label = provenance.count_a, provenance.count_b, provenance.count_label
    num_others = provenance.n - count_a
    if count_b is None:
        if count_label is not None:
            raise ValueError(f"count_label is {count_label}, but the row has no count_b")
        return
    if not min(1, num_others) <= count_b <= num_others:
        raise ValueError(f"count_b is {count_b}, which does not fit count_a {count_a} of n {provenance.n}")
    if count_label is None:
        return
    is_selected = row.correct or (row.predict == ABSTAIN and count_label == count_a)
    if count_label < 0 or (count_label != count_a if is_selected else count_label > count_b):
        raise ValueError(
            f"count_label is {count_label}, which does not fit label {row.label}, predict {row.predict}, "
            f"count_a {count_a} and count_b {count_b}"
        )


def _require_claims(radius: float, provenance: Provenance) -> None:
    """Raises ValueError if a bound or the radius claims more than the row proves."""
    alpha = checked_alpha(provenance.alpha)
    require_noise(provenance.noise, sigma=checked_sigma(provenance.sigma))
    _require_bound(provenance)
    if provenance.bound == TANGENT_BETS and provenance.p_a_lower is None:
        return  # a test of the counts themselves, which claims no bound of a probability
    if provenance.bound == TANGENT_BETS and provenance.stopping == AT_RADIUS:
        raise ValueError(f"p_a_lower is {provenance.p_a_lower}, but the bound {provenance.bound} of this rule has none")
    if provenance.p_a_lower is None or not 0 <= provenance.p_a_lower <= 1:
        raise ValueError(f"p_a_lower is {provenance.p_a_lower}, expected a probability")
    p_b_upper = provenance.p_b_upper
    if provenance.stopping == FIXED and provenance.sigma > 0:
        proof = provenance.proof_by_counts(alpha=alpha)
        _require_proved(provenance, proof)
        p_b_upper = proof.p_b_upper if p_b_upper is None else p_b_upper  # earlier versions did not record it
    proved = _radius_of_bounds(provenance.p_a_lower, p_b_upper, provenance.sigma)
    if radius > proved * (1 + ROUNDING):
        bounds = f"p_a_lower {provenance.p_a_lower}"
        bounds += "" if p_b_upper is None else f" and p_b_upper {p_b_upper}"
        raise ValueError(f"radius {radius} is above {proved}, the radius that {bounds} prove")


def _require_bound(provenance: Provenance) -> None:
    """Raises ValueError if the rule does not have the bound, or the row lacks a number that the bound uses."""
    bound, stopping, count_b = provenance.bound, provenance.stopping, provenance.count_b
    if bound not in BOUNDS[stopping]:
        raise ValueError(f"bound is {bound}, expected one of {', '.join(BOUNDS[stopping])} under the rule {stopping}")
    if count_b is None and bound in (SIMULTANEOUS, TANGENT_BETS):
        raise ValueError(f"count_b is missing, which the bound {bound} uses")
    if provenance.p_b_upper is not None and bound != SIMULTANEOUS:
        raise ValueError(f"p_b_upper is {provenance.p_b_upper}, but the bound {bound} has none")


def _require_proved(provenance: Provenance, proof: Proof) -> None:
    """Raises ValueError if a bound of a row of the rule "fixed" is better than the counts prove."""
    assert provenance.p_a_lower is not None and proof.p_a_lower is not None
    if provenance.p_a_lower > proof.p_a_lower * (1 + ROUNDING):
        raise ValueError(f"p_a_lower {provenance.p_a_lower} is above the {proof.p_a_lower} that the counts prove")
    if proof.p_b_upper is None or provenance.p_b_upper is None:
        return
    if not proof.p_b_upper * (1 - ROUNDING) <= provenance.p_b_upper <= 1:
        raise ValueError(f"p_b_upper is {provenance.p_b_upper}, but the counts prove no less than {proof.p_b_upper}")


def _radius_of_bounds(p_a_lower: float, p_b_upper: float | None, sigma: float) -> float:
    """The radius that the bounds prove; 0 if they prove none."""
    if p_b_upper is None:
        return certified_radius(p_a_lower, sigma) if 0.5 < p_a_lower < 1 else 0.0
    return certified_radius(p_a_lower, sigma, p_b_upper=p_b_upper) if 0 < p_b_upper < p_a_lower < 1 else 0.0
