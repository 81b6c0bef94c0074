"""A step is as large as its time allows, and never larger than a batch."""

import math

from serving.service.step_size import StepSize


def after(step_size, seconds_per_draw, *, steps=20):
    for _ in range(steps):
        step_size.observe(step_size.value, seconds_per_draw * step_size.value)
    return step_size.value


def test_steps_shrink_where_they_take_too_long_and_grow_again():
    step_size = StepSize(64, largest=256, seconds=0.2)
    assert after(step_size, 0.01) == 16
    assert after(step_size, 0.001) == 128, "256 draws would take longer than 0.2 s"
    assert after(step_size, 0.0001) == 256
    assert after(step_size, 10.0) == 1


def test_a_step_that_just_fits_is_left_alone():
    step_size = StepSize(64, largest=256, seconds=0.2)
    assert after(step_size, 0.0030) == after(step_size, 0.0017) == 64


def test_one_slow_step_changes_nothing_and_steps_that_are_not_full_say_nothing():
    step_size = StepSize(64, largest=64, seconds=0.2)
    after(step_size, 0.001)
    step_size.observe(64, 0.3)
    assert step_size.value == 64
    for _ in range(20):
        step_size.observe(5, 0.5)
        step_size.observe(0, 0.5)
    assert step_size.value == 64 and step_size.seconds_per_draw < 0.003


def test_where_batches_have_one_shape_steps_stay_full_however_long_they_take():
    assert after(StepSize(64, largest=64, seconds=math.inf), 10.0) == 64
