"""The line that a run prints after each validation."""

import pytest

from training.epoch_line import epoch_line


@pytest.mark.parametrize(("trains_only_head", "word"), [(False, "step"), (True, "head")])
def test_the_line_of_an_epoch_fits_into_80_columns_in_either_phase(trains_only_head, word):
    counts = {"epoch": 99999, "step": 99999, "num_steps": 99999, "trains_only_head": trains_only_head}
    scores = {"loss": 100.12345, "accuracy_under_noise": 1.0, "mean_per_class": 1.0}
    line = epoch_line(scores, **counts)
    assert line == f"epoch 99999, {word} 99999/99999: loss 100.123, accuracy 100.0 %, per class 100.0 %"
    assert len(line) <= 80


def test_a_run_without_validation_images_has_a_line_with_its_loss():
    line = epoch_line({"loss": 2.62}, epoch=35, step=140, num_steps=250, trains_only_head=False)
    assert line == "epoch 35, step 140/250: loss 2.620"
