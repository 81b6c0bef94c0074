"""A fixed sample may be looked at once, at its end."""

import pytest

from zoo.errors import CertificationError
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.stopping import FixedSample


def test_a_fixed_sample_wants_the_rest_of_its_draws_whatever_they_said():
    rule = FixedSample(100)
    assert [rule.num_wanted(count, 40) for count in (0, 20, 40)] == [60, 60, 60]
    assert rule.num_wanted(100, 100) == 0


def test_a_fixed_sample_gives_its_bound_at_its_end_only():
    rule = FixedSample(100)
    assert rule.p_a_lower(90, 100, 0.01) == clopper_pearson_lower(90, 100, 0.01)
    with pytest.raises(CertificationError, match="after 100 draws only"):
        rule.p_a_lower(90, 99, 0.01)
