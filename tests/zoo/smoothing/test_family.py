"""A family never spends more than its alpha, and its certificates carry their place and their part of it."""

from fractions import Fraction

import mpmath
import pytest
import torch

from benchmarks.family import levels, most_allowed, num_false_families, restarting_levels
from tests.zoo.smoothing.fakes import Threshold
from zoo.errors import CertificationError
from zoo.smoothing import Family, FamilyMember, SmoothedClassifier, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.family import SHARE_OF_FIRST, place_in_errors

ABOVE_PI = Fraction(314159265358979323847, 10**20)
WHITE, BOUNDARY = torch.ones(1, 1, 1), torch.full((1, 1, 1), 0.5)


def smoothed(**changes):
    smoothing = SmoothingSpec(**{"sigma": 0.25, "n0": 10, "n": 100} | changes)
    return SmoothedClassifier(Threshold(at=0.5), num_classes=2, smoothing=smoothing)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.1, 0.7, 1 / 3, 1e-100])
def test_the_parts_of_a_family_never_exceed_its_alpha(alpha):
    for size in (1, 3, 7, 10, 49, 1000):
        first, last = (FamilyMember(alpha=alpha, index=index, size=size).level for index in (1, size))
        assert first == last and Fraction(first) * size <= Fraction(alpha)
        assert first * size == pytest.approx(alpha, rel=1e-15)
    for index in (*range(1, 200), 10**6 + 1, 2**31 - 1):
        most = Fraction(alpha) * 6 / ABOVE_PI**2 / index**2  # the sum of 6 / (pi i)^2 over all i is 1
        part = FamilyMember(alpha=alpha, index=index).level
        assert Fraction(part) <= most and part == pytest.approx(float(most), rel=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Family(alpha=0.0), "alpha must be in"),
        (lambda: Family(alpha=0.1, size=0), "size must be at least 1"),
        (lambda: Family(alpha=0.1, size=2.5), "size must be an integer"),
        (lambda: FamilyMember(alpha=0.1, index=0), "index must be at least 1"),
        (lambda: FamilyMember(alpha=0.1, index=3, size=2), "a family of 2 questions has no question 3"),
        (lambda: smoothed().certify(WHITE, family=0.001), r"family must be a Family, such as Family\(alpha=0.001\)"),
    ],
)
def test_what_is_no_family_is_refused(make, message):
    with pytest.raises(CertificationError, match=message):
        make()


def test_the_first_part_is_6_over_pi_squared_to_20_digits_rounded_down():
    assert FamilyMember(alpha=0.5, index=1).level < 0.5 * 0.6079271018540267
    with mpmath.workdps(50):
        part = mpmath.mpf(SHARE_OF_FIRST.numerator) / SHARE_OF_FIRST.denominator
        assert part <= 6 / mpmath.pi**2 < part + mpmath.mpf(10) ** -20


def test_a_part_that_is_a_float_is_not_rounded():
    assert FamilyMember(alpha=0.5, index=1, size=2).level == 0.25


def test_outside_of_a_family_an_error_names_no_place():
    with pytest.raises(CertificationError, match=r"^too few$"), place_in_errors(None):
        raise CertificationError("too few")


def test_a_family_may_have_one_question():
    assert Family(alpha=0.1, size=1).next() == FamilyMember(alpha=0.1, index=1, size=1)


def test_a_family_of_a_declared_size_ends():
    family = Family(alpha=0.1, size=2)
    smoothed().certify([WHITE, WHITE], family=family)
    with pytest.raises(CertificationError, match="all 2 questions of this family are asked"):
        smoothed().certify(WHITE, family=family)
    assert family.num_questions == 2


def test_certificates_and_predictions_take_places_in_order_and_say_which():
    family, g = Family(alpha=0.01), smoothed(alpha=0.5)
    first, second = g.certify([WHITE, BOUNDARY], family=family)
    votes, fourth = g.predict(WHITE, family=family), g.certify(WHITE, family=family)
    assert second.abstained  # an abstention counts too
    for index, answer in enumerate((first, second, votes, fourth), start=1):
        assert answer.family == FamilyMember(alpha=0.01, index=index) and answer.alpha == answer.family.level
    assert first.p_a_lower == clopper_pearson_lower(first.count_a, 100, first.alpha)
    assert g.certify(WHITE).family is None and g.certify(WHITE).alpha == 0.5


def test_discrete_noise_takes_its_part_of_the_place():
    member = FamilyMember(alpha=0.01, index=2)
    family = Family(alpha=0.01)
    family.next()
    certificate = smoothed(noise="discrete").certify(WHITE, family=family, generator=torch.Generator().manual_seed(0))
    alone = smoothed(noise="discrete", alpha=member.level)
    least = alone.certify(WHITE, generator=torch.Generator().manual_seed(0))
    assert certificate.alpha == member.level and certificate.p_a_lower == least.p_a_lower


def test_a_place_whose_alpha_the_draws_cannot_reach_is_refused_by_its_number_and_stays_spent():
    family, g = Family(alpha=0.001), smoothed(n=13)
    g.certify([WHITE] * 2, family=family)
    with pytest.raises(
        CertificationError, match=r"question 3 of a family with alpha=0.001 gets alpha=6.75\S*: n=13 can"
    ):
        g.certify(WHITE, family=family)
    assert family.num_questions == 3


def test_2000_families_of_1000_null_questions_keep_their_alpha_and_controls_do_not():
    alpha = 0.05
    most = most_allowed(alpha)
    assert num_false_families(levels(alpha)) <= most
    assert num_false_families(levels(alpha, size=1000)) <= most
    assert num_false_families(restarting_levels(alpha)) > most
    assert num_false_families([alpha] * 1000) > most


def test_asking_until_certified_is_false_in_a_share_alpha_of_families_at_most():
    """Both classes have probability 1/2 on the boundary, so that any certificate is false."""
    alpha, num_families, g = 0.3, 30, smoothed(n0=1, n=12, alpha=0.3)
    generator = torch.Generator().manual_seed(0)

    def num_false(family):
        answers = [g.certify([BOUNDARY] * 10, generator=generator, family=family()) for _ in range(num_families)]
        return sum(any(not certificate.abstained for certificate in answer) for answer in answers)

    most = most_allowed(alpha, num_families=num_families)
    assert num_false(lambda: Family(alpha=alpha)) <= most < num_false(lambda: None)
