"""Cross-entropy, on images as they are and on one noisy copy of each."""

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, rng
from training.objectives import Batch
from training.objectives.gaussian import Gaussian
from training.objectives.objective import gaussian_noise
from training.objectives.standard import Standard


def test_standard_is_cross_entropy_on_the_images(smooth, batch, late):
    loss = Standard()(smooth, batch, progress=late, generator=rng()).loss
    expected = by_hand.mean_cross_entropy(smooth(batch.x_BCHW), batch.labels_B.tolist())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_gaussian_is_cross_entropy_on_one_noisy_copy_of_each_image(sigma, smooth, batch, late):
    loss = Gaussian(sigma=sigma)(smooth, batch, progress=late, generator=rng()).loss
    noisy = batch.x_BCHW + gaussian_noise(batch, sigma, rng())
    expected = by_hand.mean_cross_entropy(smooth(noisy), batch.labels_B.tolist())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    clean = Standard()(smooth, batch, progress=late, generator=rng()).loss
    assert abs(loss.item() - clean.item()) > 1e-3  # the noise is seen at all


def test_noisy_pixels_are_not_cut_to_the_box(edge_batch, late):
    seen = []

    def watching(x_BCHW):
        seen.append(x_BCHW)
        return x_BCHW.flatten(1)[:, :3]

    Gaussian(sigma=0.5)(watching, edge_batch, progress=late, generator=rng())
    assert seen[0].min().item() < -0.5 and seen[0].max().item() > 1.5


def test_gaussian_without_noise_is_standard(smooth, batch, late):
    loss = Gaussian(sigma=0.0)(smooth, batch, progress=late, generator=rng()).loss
    assert torch.equal(loss, Standard()(smooth, batch, progress=late, generator=rng()).loss)


def test_noise_has_the_asked_scale_and_is_the_image_s_own():
    x_BCHW = torch.full((2, 3, 50, 50), 0.5)
    numbers = torch.tensor([4, 9])
    noise = gaussian_noise(Batch(x_BCHW, numbers, numbers), 0.25, rng())
    deviation = noise.std().item()
    assert deviation == pytest.approx(0.25, abs=0.01)  # of 15,000 draws; its standard error is 0.0014
    assert deviation != pytest.approx(0.5, abs=0.01)
    swapped = gaussian_noise(Batch(x_BCHW, numbers, numbers.flip(0)), 0.25, rng())
    assert torch.equal(noise, swapped.flip(0)) and not torch.equal(noise[0], noise[1])
