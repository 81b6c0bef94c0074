"""Continuous batching: every job gets its own answer, in any company, and short ones do not wait for long ones."""

import tracemalloc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.smoothing.fakes import Recorder, Scripted, Threshold
from zoo.errors import CertificationError
from zoo.smoothing import (
    Anytime,
    AtRadius,
    Certification,
    CertificationEngine,
    FixedSample,
    NoiseKey,
    NoisySampler,
    Prediction,
    SamplingOptions,
    SmoothingSpec,
    TorchBackend,
)
from zoo.smoothing.engine import allot

JOBS = {id: number for number, id in enumerate([0, 1, 2, 3, 4, 5, "x", "long", "short", "gone"])}


def brightness(x_BCHW):
    """A base classifier of two classes: is the first pixel above 1/2?"""
    margin_B = x_BCHW[:, 0, 0, 0] - 0.5
    return torch.stack([-margin_B, margin_B], dim=1)


def new_engine(batch_size=64):
    base = TorchBackend(brightness, num_classes=2)
    return CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))


def image(pixel=0.8):
    return torch.full((1, 2, 2), pixel)


def certification(id, *, n=200, pixel=0.8):
    return Certification(id, image(pixel), smoothing=SmoothingSpec(sigma=0.25, n0=20, n=n), key=NoiseKey(7, JOBS[id]))


def prediction(id, *, n=100, pixel=0.8):
    return Prediction(id, image(pixel), sigma=0.25, n=n, alpha=0.001, key=NoiseKey(8, JOBS[id]))


def run(engine, *, steps=10_000):
    answers = {}
    while engine.num_open and steps:
        answers |= {each.id: each.result for each in engine.step()}
        steps -= 1
    return answers


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_answers_do_not_depend_on_company_or_batch_size(batch_size):
    alone = {}
    for id in range(6):
        engine = new_engine()
        engine.admit(certification(id, n=100 + id))
        alone |= run(engine)
    engine = new_engine(batch_size)
    for id in range(3):
        engine.admit(certification(id, n=100 + id))
    early = {each.id: each.result for each in engine.step()}
    for id in range(3, 6):
        engine.admit(certification(id, n=100 + id))
    assert early | run(engine) == alone


def test_a_certificate_uses_n0_draws_to_choose_and_n_fresh_ones_to_bound():
    base = Recorder(label=1)
    base.depends_on_batch_shape = False
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=50)))
    engine.admit(certification("x", n=300))
    certificate = run(engine)["x"]
    assert (certificate.n0, certificate.n, certificate.label, certificate.count_a) == (20, 300, 1, 300)
    seen = [row.tobytes() for batch in base.seen for row in batch]
    assert len(seen) == len(set(seen)) == 320, "no noisy copy may serve twice"


def test_the_class_is_chosen_by_the_selection_draws_even_where_the_others_disagree():
    base = Scripted([0] * 20 + [1])
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=10)))
    engine.admit(certification("x", n=100))
    certificate = run(engine)["x"]
    assert certificate.abstained and certificate.count_a == 0


def test_a_prediction_that_joins_a_long_certification_is_answered_within_three_steps():
    engine = new_engine(batch_size=64)
    engine.admit(certification("long", n=20_000))
    engine.step()
    engine.admit(prediction("short", n=100))
    assert set(run(engine, steps=3)) == {"short"}
    assert engine.num_open == 1


@pytest.mark.parametrize("stopping", [FixedSample, lambda n: Anytime(n, 0.0)])
def test_memory_does_not_grow_with_the_number_of_draws(stopping):
    def peak(n):
        engine = CertificationEngine(NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=64)))
        smoothing = SmoothingSpec(sigma=0.25, stopping=stopping(n))
        engine.admit(Certification("x", image(), smoothing=smoothing, key=NoiseKey(7, 0)))
        tracemalloc.start()
        run(engine)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)
    # Once per second, tracemalloc also sees what the supervisor of a running server allocates in this process.
    few, many = (min(peak(n) for _ in range(5)) for n in (1000, 5000))
    assert many < few + 16_000, "a float per draw would be 32,000 more"


def test_a_forgotten_job_is_not_drawn_for_any_more():
    engine = new_engine()
    engine.admit(certification("gone", n=20_000))
    engine.step()
    engine.forget(["gone", "never there"])
    assert (engine.num_open, engine.num_remaining, engine.step()) == (0, 0, [])


def test_a_step_may_be_given_fewer_draws_than_a_batch():
    engine = CertificationEngine(NoisySampler(recorder := Recorder(), SamplingOptions(batch_size=64)))
    recorder.depends_on_batch_shape = False
    engine.admit(prediction("x", n=100))
    for budget in (10, 20, 64, 64):
        engine.step(budget)
    assert [len(batch) for batch in recorder.seen] == [10, 20, 64, 6]


class Failing(Threshold):
    """Fails on every batch that holds a copy of a dark image."""

    def classify(self, x_BCHW):
        if (x_BCHW.mean(dim=(1, 2, 3)) < -1).any():
            raise CertificationError("logits that are not finite")
        return super().classify(x_BCHW)


@pytest.mark.parametrize("budget", [3, 50, 64])
def test_a_failure_closes_the_job_that_it_is_of_and_changes_no_other_answer(budget):
    def answers(*extra):
        engine = CertificationEngine(NoisySampler(Failing(at=0.5), SamplingOptions(batch_size=64)))
        for id in range(3):
            engine.admit(certification(id, n=100 + id))
        for job in extra:
            engine.admit(job)
        told, failures = {}, {}
        while engine.num_open:
            finished, failed = engine.step_apart(budget)
            told |= {each.id: each.result for each in finished}
            failures |= {each.id: each.error for each in failed}
        return told, failures

    bad = certification("x")
    bad.x_CHW = bad.x_CHW - 10
    told, failures = answers(bad)
    assert (told, {}) == answers()
    assert list(failures) == ["x"] and isinstance(failures["x"], CertificationError)


def test_a_batch_that_costs_the_same_however_full_is_filled_with_draws_that_no_rule_asked_for_yet():
    def run_alone(depends_on_batch_shape):
        base = Threshold(at=0.5)
        base.depends_on_batch_shape = depends_on_batch_shape
        engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=256)))
        smoothing = SmoothingSpec(sigma=0.25, n0=20, stopping=AtRadius(0.2, max_n=5000))
        engine.admit(Certification("x", image(), smoothing=smoothing, key=NoiseKey(7, 0)))
        steps = 0
        while engine.num_open:
            told = engine.step()
            steps += 1
        return told[0].result, steps

    (certificate, many), (same, few) = run_alone(False), run_alone(True)
    assert certificate == same and certificate.label == 1 and few == 2 < many


def test_a_rule_that_asks_for_little_at_a_time_is_not_taken_for_a_short_job():
    smoothing = SmoothingSpec(sigma=0.25, n0=20, stopping=Anytime(50_000, 0.0))
    job = Certification("x", image(0.51), smoothing=smoothing, key=NoiseKey(7, 0))
    engine = new_engine(batch_size=100)
    engine.sampler.base.depends_on_batch_shape = False
    engine.admit(job)
    while job.num_taken < 200:
        engine.step()
    assert job.num_remaining < 60 and job.num_expected == job.num_taken
    assert allot([60, 100], 100, num_expected=[200, 100]) == [25, 75]


def test_what_is_proved_so_far_is_an_abstention_until_the_class_is_chosen_and_grows_then():
    smoothing = SmoothingSpec(sigma=0.25, n0=20, stopping=Anytime(3000, 0.0))
    job = Certification("x", image(), smoothing=smoothing, key=NoiseKey(7, 0))
    engine = new_engine(batch_size=16)
    engine.admit(job)
    radii = []
    while engine.num_open:
        seen = job.so_far(backend="")
        radii.append(seen.radius)
        assert seen.abstained == (seen.radius == 0) and (seen.n > 0) == (job.num_taken > 20)
        engine.step()
    assert radii[:2] == [0, 0] and radii == sorted(radii) and radii[-1] > 0.2


def test_a_fixed_sample_cannot_be_looked_at_early():
    job = certification("x", n=200)
    engine = new_engine(batch_size=64)
    engine.admit(job)
    for _ in range(2):
        with pytest.raises(CertificationError, match="may be evaluated only after 200 draws"):
            job.so_far(backend="")
        engine.step()


def test_the_clean_classifier_abstains_until_its_one_evaluation_is_there():
    job = Certification("x", image(), smoothing=SmoothingSpec(sigma=0.0), key=NoiseKey(7, 0))
    seen = job.so_far(backend="")
    assert (seen.label, seen.radius, seen.p_a_lower, seen.n) == (None, 0.0, 0.0, 0)
    engine = new_engine(batch_size=16)
    engine.admit(job)
    engine.step()
    assert job.so_far(backend="").label == job.result(backend="").label is not None


def test_an_id_can_be_open_once_and_shapes_cannot_be_mixed():
    engine = new_engine()
    engine.admit(certification("x"))
    with pytest.raises(CertificationError, match="already open"):
        engine.admit(certification("x"))
    other = Certification("y", torch.zeros(1, 3, 3), smoothing=SmoothingSpec(sigma=0.5), key=NoiseKey(0, 0))
    with pytest.raises(CertificationError, match="shape"):
        engine.admit(other)


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 500))
def test_shares_fill_the_budget_and_exceed_no_need(remaining, budget):
    shares = allot(remaining, budget)
    assert sum(shares) == min(budget, sum(remaining))
    assert all(0 <= share <= need for share, need in zip(shares, remaining, strict=True))


def test_most_goes_to_the_least_remaining_and_a_quarter_to_the_oldest():
    assert allot([10_000, 50, 5000], 100) == [25, 50, 25]
    assert allot([10_000, 500, 100], 100) == [25, 0, 75]
    assert allot([10_000, 16], 3) == [1, 2] and allot([10_000, 16], 1) == [1, 0]


@pytest.mark.parametrize(
    ("x_CHW", "said"),
    [
        (torch.full((1, 2, 2), float("nan")), "not finite"),
        (torch.full((1, 2, 2), float("inf")), "not finite"),
        (torch.full((1, 2, 2), 255.0), r"\[0, 1\]"),
        (torch.zeros(2, 2), "shape"),
        (torch.zeros(3, 0, 0), "shape"),
    ],
)
def test_what_is_no_image_in_the_unit_range_is_refused(x_CHW, said):
    with pytest.raises(CertificationError, match=said):
        Certification("x", x_CHW, smoothing=SmoothingSpec(sigma=0.5), key=NoiseKey(0, 0))


@pytest.mark.parametrize("x_CHW", [torch.ones(1, 2, 2, dtype=torch.uint8), torch.ones(1, 2, 2).bool(), [[[0.5]]]])
def test_an_image_is_a_floating_point_tensor(x_CHW):
    with pytest.raises(CertificationError, match="floating-point tensor"):
        Certification("x", x_CHW, smoothing=SmoothingSpec(sigma=0.5), key=NoiseKey(0, 0))


def test_an_open_job_keeps_the_image_that_it_was_given():
    x_CHW = image()
    job = certification("x")
    other = Certification("x", x_CHW, smoothing=job.smoothing, key=job.key)
    x_CHW.zero_()
    assert other.x_CHW.min() > 0.7


def test_a_prediction_under_discrete_noise_spends_no_more_than_alpha():
    with pytest.raises(CertificationError, match="too small for discrete noise"):
        pixels = torch.full((1, 2, 2), 128 / 255)
        Prediction("x", pixels, sigma=0.5, n=2000, alpha=1e-60, key=NoiseKey(0, 0), noise="discrete")
