"""Batches: every image once an epoch, augmented by its own stream."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.tasks.loading import EvaluationImages, PaddedWindow, ShuffledBatches, TrainingImages
from training.tasks.task import ArrayImages
from zoo.models.spec import Preprocessing

PREPROCESSING = Preprocessing(resize=16, crop=16)
PADDED = Preprocessing(resize=16, crop=16, fit="pad")
IMAGES = ArrayImages(np.random.default_rng(0).integers(0, 256, (6, 20, 20), dtype=np.uint8), [0, 1] * 3)


@given(st.integers(2, 100), st.integers(2, 40), st.integers(0, 5))
def test_every_image_comes_once_an_epoch_and_no_batch_holds_one_alone(num_images, batch_size, epoch):
    batches = ShuffledBatches(num_images, batch_size, seed=1, epoch=epoch)
    drawn = list(batches)
    assert sorted(index for batch in drawn for index in batch) == list(range(num_images))
    assert len(drawn) == len(batches) and min(len(batch) for batch in drawn) >= 2
    assert drawn == list(ShuffledBatches(num_images, batch_size, seed=1, epoch=epoch))


def test_epochs_have_different_orders():
    assert list(ShuffledBatches(50, 10, seed=1, epoch=0)) != list(ShuffledBatches(50, 10, seed=1, epoch=1))


@pytest.mark.parametrize("preprocessing", [PREPROCESSING, PADDED], ids=["crop", "pad"])
@pytest.mark.parametrize("augmentation", ["none", "shift-flip", "resized-crop-flip"])
def test_an_augmented_image_depends_on_seed_epoch_and_index_alone(augmentation, preprocessing):
    def load(seed, epoch, indices):
        images = TrainingImages(IMAGES, preprocessing, augmentation, seed=seed)
        images.epoch = epoch
        return [images[index][0] for index in indices]

    forwards, backwards = load(0, 3, range(6)), load(0, 3, reversed(range(6)))
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert all(x.shape == (3, 16, 16) and x.dtype == torch.uint8 for x in forwards)
    changed = any(not torch.equal(a, b) for a, b in zip(forwards, load(0, 4, range(6)), strict=True))
    assert changed == (augmentation != "none")


@pytest.mark.parametrize("size", [(1, 9), (1000, 1), (12, 36), (5, 5)])
def test_every_training_window_of_a_padded_picture_shows_a_part_of_it(size):
    image, window = Image.new("RGB", size, "black"), PaddedWindow(PADDED)
    torch.manual_seed(0)
    darkest = [np.asarray(window(image)).min() for _ in range(200)]
    assert set(darkest) == {0}


def test_a_shifted_padded_picture_has_no_border_but_white():
    images = TrainingImages(ArrayImages(np.full((1, 20, 20), 200, dtype=np.uint8), [0]), PADDED, "shift-flip", seed=1)
    assert images[0][0].unique().tolist() == [200, 255]


@pytest.mark.parametrize("preprocessing", [PREPROCESSING, PADDED], ids=["crop", "pad"])
@pytest.mark.parametrize("augmentation", ["none", "shift-flip", "resized-crop-flip", "simclr"])
def test_training_images_can_be_sent_to_a_loader_worker_that_is_spawned(augmentation, preprocessing):
    images = TrainingImages(IMAGES, preprocessing, augmentation, seed=0)
    assert torch.equal(pickle.loads(pickle.dumps(images))[2][0], images[2][0])


def test_an_evaluated_image_is_prepared_as_a_request_is():
    from zoo.models.preprocessing import to_bytes_CHW

    x_CHW, label = EvaluationImages(IMAGES, PREPROCESSING)[3]
    assert label == 1 and torch.equal(x_CHW, to_bytes_CHW(IMAGES[3], PREPROCESSING))
