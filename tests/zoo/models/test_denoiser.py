"""The denoiser's network."""

import pytest
import torch
from torch import nn

from zoo.models.denoiser import Denoiser
from zoo.models.denoiser_config import DenoiserShape


def test_the_published_shape_has_the_published_layers_and_sees_35_pixels():
    """Zhang et al. 2017: depth d gives a receptive field of 2 d + 1, which is 35 at d = 17."""
    denoiser = Denoiser(DenoiserShape(depth=17, width=64, downsampling=1, estimates="noise")).eval()
    kernels = [layer.weight for layer in denoiser.noise if isinstance(layer, nn.Conv2d)]
    assert len(kernels) == 17 and sum(kernel.numel() for kernel in kernels) == 2 * 3 * 64 * 9 + 15 * 64 * 64 * 9
    x_BCHW = torch.rand(1, 3, 41, 41, requires_grad=True)
    denoiser(x_BCHW)[0, :, 20, 20].sum().backward()
    rows = x_BCHW.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (20 - 17, 20 + 17)


@pytest.mark.parametrize("downsampling", [1, 2, 4])
def test_without_estimated_noise_the_image_is_returned_and_the_size_is_kept(downsampling):
    denoiser = Denoiser(DenoiserShape(depth=3, width=4, downsampling=downsampling, estimates="noise")).eval()
    x_BCHW = torch.randn(2, 3, 8, 16)
    assert denoiser(x_BCHW).shape == x_BCHW.shape and not torch.equal(denoiser(x_BCHW), x_BCHW)
    nn.init.zeros_(denoiser.noise[-1].weight)
    nn.init.zeros_(denoiser.noise[-1].bias)
    assert torch.equal(denoiser(x_BCHW), x_BCHW)


def test_the_weights_determine_whether_the_image_or_the_noise_is_estimated():
    """Otherwise two networks with equal weights, and so with one identity, could differ."""
    image, noise = (Denoiser(DenoiserShape(depth=3, width=4, estimates=kind)).eval() for kind in ("image", "noise"))
    with pytest.raises(RuntimeError, match="Missing key"):
        image.load_state_dict(noise.state_dict())
    image.image.load_state_dict(noise.noise.state_dict())
    x_BCHW = torch.randn(2, 3, 8, 8)
    assert torch.equal(noise(x_BCHW), x_BCHW - image(x_BCHW))
