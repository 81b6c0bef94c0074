"""The two losses of denoised smoothing."""

import pytest
import torch

from tests.training.objectives.samples import rng
from training.objectives import Batch
from training.objectives.denoise import Denoise
from training.objectives.objective import gaussian_noise

NUMBERS_B = torch.arange(6)
BATCH = Batch(torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(1)), NUMBERS_B % 3, NUMBERS_B)


def test_a_denoiser_that_returns_the_noisy_image_has_error_one_in_units_of_the_noise(late):
    output = Denoise(sigma=0.25)(lambda x: x, BATCH, progress=late, generator=rng())
    noise_BCHW = gaussian_noise(BATCH, 0.25, rng())
    assert output.loss.item() == pytest.approx((noise_BCHW**2).mean().item() / 0.25**2, rel=1e-5)
    assert output.metrics["mean_squared_error"].item() == pytest.approx((noise_BCHW**2).mean().item(), rel=1e-5)
    perfect = Denoise(sigma=0.25)(lambda x: BATCH.x_BCHW, BATCH, progress=late, generator=rng())
    assert perfect.loss.item() == 0


def test_stability_is_the_cross_entropy_of_the_noisy_images_with_the_labels_of_the_batch(late):
    def logits(x_BCHW):
        return x_BCHW.mean(dim=(2, 3))

    output = Denoise(sigma=0.25, loss="stability")(logits, BATCH, progress=late, generator=rng())
    log_p_BK = logits(BATCH.x_BCHW + gaussian_noise(BATCH, 0.25, rng())).log_softmax(dim=1)
    expected = -sum(log_p_BK[b, label] for b, label in enumerate(BATCH.labels_B.tolist())) / 6
    assert output.loss.item() == pytest.approx(float(expected), rel=1e-6)
