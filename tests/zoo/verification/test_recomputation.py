"""A row that follows from its counts has no fault, and a row with any of its numbers changed has one."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.results.row import CertificationRow, Provenance
from zoo.smoothing import AtRadius, Certification, NoiseKey, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper
from zoo.smoothing.confidence_sequence import log_wealth_above, mixture_lower
from zoo.smoothing.noise import alpha_left
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.stopping import Tally, proved_by_sequence
from zoo.smoothing.tangent_bets import gap_of, log_wealth
from zoo.verification.recomputation import recomputation_faults

SIGMA, ALPHA = 0.5, 0.001


def row(radius, *, count_a=900, count_b=50, n=1000, stopping="fixed", bound="clopper-pearson", **fields):
    how = {
        "count_a": count_a, "count_b": count_b, "n": n, "n0": 100, "alpha": ALPHA, "sigma": SIGMA, "p_a_lower": None,
        "stopping": stopping, "bound": bound, "radius_asked": None, "noise": "gaussian", "backend": "torch", "seed": 0,
    } | fields  # fmt: skip
    predict = -1 if radius is None else 4
    return CertificationRow(
        idx=3, label=4, predict=predict, radius=radius or 0.0, correct=predict == 4, time="0:00:01",
        provenance=Provenance(**how),
    )  # fmt: skip


def faults(*rows, num_values=3072, max_n=None):
    return recomputation_faults(rows, num_values=num_values, max_n=max_n)


def with_provenance(honest, **changes):
    return replace(honest, provenance=replace(honest.provenance, **changes))


def fixed(alpha=ALPHA, **fields):
    p_a_lower = clopper_pearson_lower(900, 1000, alpha)
    return row(certified_radius(p_a_lower, SIGMA), p_a_lower=p_a_lower, **fields)


def simultaneous():
    lower, upper = clopper_pearson_lower(900, 1000, ALPHA / 2), clopper_pearson_upper(50, 1000, ALPHA / 2)
    return row(certified_radius(lower, SIGMA, p_b_upper=upper), p_a_lower=lower, p_b_upper=upper, bound="simultaneous")


def at_radius(radius, *, radius_asked=0.25, **fields):
    return row(radius, stopping="at-radius", bound="tangent-bets", radius_asked=radius_asked, **fields)


def old_at_radius(radius, *, radius_asked=0.5, **fields):
    p_a_lower = 0.0 if radius is None else probability_at(radius_asked, SIGMA)
    return row(
        radius, stopping="at-radius", bound="beta-mixture", radius_asked=radius_asked, p_a_lower=p_a_lower, **fields
    )


def anytime(rung, **fields):
    """A row whose radius the sequence of bets proved; the golden numbers are those of `test_stopping`."""
    return row(None if rung is None else SIGMA * rung / 100, stopping="anytime", bound="tangent-bets", **fields)


def test_rows_that_follow_from_their_counts_have_no_fault():
    last = clopper_pearson_lower(900, 1000, 0.9 * ALPHA)
    honest = [
        fixed(),
        simultaneous(),
        row(None, count_a=500, count_b=500, p_a_lower=clopper_pearson_lower(500, 1000, ALPHA)),
        at_radius(0.25, count_a=25, count_b=0, n=25),
        at_radius(None, count_a=24, count_b=0, n=24),
        anytime(34, count_a=120, count_b=20, n=200),
        anytime(35, count_a=120, count_b=20, n=200),  # proved by earlier votes
        anytime(130, count_a=120, count_b=20, n=200),  # the most: all votes for the class came first
        anytime(None, count_a=60, count_b=60, n=120),
        row(certified_radius(last, SIGMA), p_a_lower=last, stopping="anytime", bound="tangent-bets"),
        old_at_radius(0.5, count_a=1000, count_b=0),
        old_at_radius(None, count_a=850, count_b=150),
        row(0.0, sigma=0.0, n=1, count_a=1, count_b=0, p_a_lower=1.0),
    ]
    assert faults(*honest) == []


@pytest.mark.parametrize(
    ("doctored", "said"),
    [
        (with_provenance(fixed(), count_a=899), "p_a_lower is"),
        (with_provenance(fixed(), n=1001), "p_a_lower is"),
        (with_provenance(fixed(), alpha=0.0011), "p_a_lower is"),
        (with_provenance(fixed(), sigma=0.51), "radius is"),
        (replace(fixed(), radius=fixed().radius + 1e-7), "radius is"),
        (replace(fixed(), radius=fixed().radius - 1e-7), "radius is"),
        (with_provenance(simultaneous(), count_b=49), "p_b_upper is"),
        (with_provenance(simultaneous(), p_b_upper=simultaneous().provenance.p_b_upper + 1e-7), "p_b_upper is"),
        (row(0.1, count_a=500, count_b=500, p_a_lower=0.45), "it certifies radius 0.1, but its counts prove no"),
        (row(None, p_a_lower=fixed().provenance.p_a_lower), "it abstains, but its counts prove radius"),
        (at_radius(0.25, count_a=24, count_b=0, n=24), "24 of 24 draws do not certify radius 0.25, but the row cert"),
        (at_radius(None, count_a=25, count_b=0, n=25), "25 of 25 draws certify radius 0.25, but the row abstains"),
        (at_radius(0.25, count_a=25, count_b=1, n=26), "do not certify"),
        (at_radius(0.26, radius_asked=0.26, count_a=25, count_b=0, n=25), "do not certify"),
        (at_radius(0.25, count_a=25, count_b=0, n=25, alpha=0.0009), "do not certify"),
        (anytime(33, count_a=120, count_b=20, n=200), "radius is .*, but its counts give at least 0.1"),
        (anytime(131, count_a=120, count_b=20, n=200), "and at most"),
        (anytime(34.5, count_a=120, count_b=20, n=200), "which is not a multiple of 0.01 sigma"),
        (anytime(None, count_a=120, count_b=20, n=200), "radius is None, but its counts give at least"),
        (anytime(1, count_a=5, count_b=60, n=65), "and at most None"),
        (old_at_radius(0.5, count_a=850, count_b=150), "do not certify radius 0.5"),
        (old_at_radius(None, count_a=1000, count_b=0), "1000 of 1000 draws certify radius 0.5"),
        (with_provenance(old_at_radius(0.5, count_a=1000, count_b=0), p_a_lower=0.85), "p_a_lower is 0.85"),
        (with_provenance(fixed(), bound="other"), "no recomputation is known for the bound other under the rule fixed"),
        (row(0.1, sigma=0.0, n=1, count_a=1, count_b=0, p_a_lower=1.0), "radius is 0.1"),
        (row(0.0, sigma=0.0, n=1, count_a=1, count_b=0, p_a_lower=0.9), "p_a_lower is 0.9"),
        (replace(fixed(), provenance=None), "row 3 does not record how its radius was found"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_follow_from_its_counts_has_this_fault(doctored, said):
    (fault,) = faults(fixed(), doctored, simultaneous())
    assert fault.startswith("row 3")
    assert re.search(said, fault), fault


def test_old_anytime_rows_without_and_with_all_votes_have_no_fault():
    old = {"stopping": "anytime", "bound": "beta-mixture"}
    (bound,) = mixture_lower(np.array([1000]), np.array([1000]), ALPHA).tolist()
    unanimous = row(certified_radius(bound, SIGMA), count_a=1000, count_b=0, p_a_lower=bound, **old)
    assert faults(row(None, count_a=0, count_b=1000, p_a_lower=0.0, **old), unanimous) == []


def test_old_at_radius_rows_certify_from_the_draw_at_which_all_votes_do():
    nums = np.arange(1, 200)
    least = int(nums[log_wealth_above(nums, nums, probability_at(0.5, SIGMA)) >= math.log(1 / ALPHA)][0])
    assert faults(old_at_radius(0.5, count_a=least, count_b=0, n=least)) == []
    assert faults(old_at_radius(None, count_a=least - 1, count_b=0, n=least - 1)) == []
    assert "do not certify" in faults(old_at_radius(0.5, count_a=least - 1, count_b=0, n=least - 1))[0]


def test_an_anytime_row_without_other_votes_has_the_radius_of_its_counts():
    tally = Tally(count_a=200, count_b=0, n=200)
    rung = round(proved_by_sequence(tally, sigma=SIGMA, alpha=ALPHA) / (0.01 * SIGMA))
    assert faults(anytime(rung, count_a=200, count_b=0, n=200)) == []
    assert "at least" in faults(anytime(rung - 1, count_a=200, count_b=0, n=200))[0]


def test_the_last_look_of_an_anytime_row_has_nine_tenths_of_alpha():
    for share in (0.89, 1.0):
        bound = clopper_pearson_lower(900, 1000, share * ALPHA)
        doctored = row(certified_radius(bound, SIGMA), p_a_lower=bound, stopping="anytime", bound="tangent-bets")
        assert "p_a_lower is" in faults(doctored)[0]
    sequence, half = {"stopping": "anytime", "bound": "tangent-bets"}, {"count_a": 500, "count_b": 500}
    bound = clopper_pearson_lower(500, 1000, 0.9 * ALPHA)
    assert faults(row(None, p_a_lower=bound, **half, **sequence)) == []
    assert "radius is 0.2, but its counts give None" in faults(row(0.2, p_a_lower=bound, **half, **sequence))[0]
    hidden = row(None, p_a_lower=clopper_pearson_lower(900, 1000, 0.9 * ALPHA), **sequence)
    assert "radius is None, but its counts give" in faults(hidden)[0]


def test_the_bound_of_an_old_anytime_row_is_between_those_of_its_last_and_of_its_best_counts():
    """`test_confidence_sequence` has the golden numbers: 12 of 12 and 95 of 100."""
    last = 0.8069154210870016
    for p_a_lower, said in ((last, None), (0.85, None), (last - 1e-6, "at least"), (0.95, "at most")):
        radius = certified_radius(p_a_lower, SIGMA)
        found = faults(
            row(radius, count_a=95, count_b=5, n=100, p_a_lower=p_a_lower, stopping="anytime", bound="beta-mixture")
        )
        assert found == [] if said is None else said in found[0]
    silent = row(None, count_a=95, count_b=5, n=100, p_a_lower=last, stopping="anytime", bound="beta-mixture")
    assert "it abstains, but p_a_lower is" in faults(silent)[0]
    loud = row(0.3, count_a=40, count_b=60, n=100, p_a_lower=0.4, stopping="anytime", bound="beta-mixture")
    assert faults(loud)


def test_discrete_noise_costs_a_row_the_alpha_of_all_values_of_its_n0_and_n_draws():
    """As in a job. At this alpha, another number of draws or values changes the bound by more than 1e-9."""
    alpha = 2e-30

    def by(num_values):
        left = alpha_left(alpha, sigma=SIGMA, noise="discrete", num_values=num_values)
        return with_provenance(fixed(alpha=left), alpha=alpha, noise="discrete")

    assert faults(by(12 * 1100), num_values=12) == []
    for other in (12, 12 * 100, 12 * 1000, 11 * 1100, 0):
        assert "p_a_lower is" in faults(by(other), num_values=12)[0]
    assert "alpha=2e-30 is too small for discrete noise" in faults(by(0), num_values=12, max_n=100_000)[0]


def test_discrete_noise_costs_a_row_that_ended_early_the_alpha_of_the_draws_that_it_did_not_make():
    alpha, x_CHW = 8.5e-30, torch.full((3, 2, 2), 0.2)
    spec = SmoothingSpec(sigma=SIGMA, n0=100, alpha=alpha, stopping=AtRadius(0.25, max_n=8000), noise="discrete")
    left = Certification(0, x_CHW, smoothing=spec, key=NoiseKey(0, 0)).alpha
    wealth = log_wealth(np.arange(300), np.zeros(300), np.arange(300), gap=gap_of(0.25, SIGMA))
    early, end = (int(np.argmax(wealth >= math.log(1 / level))) for level in (0.95 * alpha, left))
    assert 100 < early < end
    too_early, honest = (
        at_radius(0.25, count_a=n, count_b=0, n=n, alpha=alpha, noise="discrete") for n in (early, end)
    )
    assert faults(honest, num_values=12, max_n=8000) == []
    assert "do not certify" in faults(too_early, num_values=12, max_n=8000)[0]
    assert faults(too_early, num_values=12) == []
