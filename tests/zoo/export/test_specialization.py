"""A specialized network computes the same function, with matrix products where maps are small."""

import pytest
import torch
from torch import nn

from tests.zoo.smoothing.backends.test_pytorch import network
from zoo.export.specialization import PointwiseProduct, WholeMapProduct, specialized
from zoo.models.architecture import ARCHITECTURES


def num_products(module):
    return sum(isinstance(each, PointwiseProduct | WholeMapProduct) for each in module.modules())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [32, 40, 64])
def test_a_specialized_network_has_the_logits_of_the_original(architecture, size):
    torch.manual_seed(0)
    original, x_BCHW = network(architecture), torch.randn(3, 3, size, size)
    changed = specialized(original, size=size)
    assert num_products(changed) > 0 == num_products(original)
    with torch.inference_mode():
        torch.testing.assert_close(changed(x_BCHW), original(x_BCHW), atol=2e-5, rtol=1e-4)


def test_a_network_on_large_images_keeps_its_convolutions():
    assert num_products(specialized(network("resnet18"), size=224)) == 0


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(5, 7, 3, padding=1),
        nn.Conv2d(5, 7, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(5, 7, 1),
        nn.Conv2d(5, 7, 1, stride=2),
        nn.Conv2d(5, 7, (1, 2)),
        nn.Conv2d(5, 7, 1, padding=1),
        nn.Conv2d(5, 5, 3, padding=1, groups=5),
        nn.Conv2d(5, 7, 3, padding=2, dilation=2),
        nn.Conv2d(5, 7, 3, padding="same"),
        nn.Conv2d(5, 7, 3, padding=1, padding_mode="circular"),
    ],
)
def test_every_convolution_on_a_small_map_stays_what_it_was(convolution):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.convolution, self.relu = nn.AdaptiveAvgPool2d(2), convolution, nn.ReLU()
            self.lift = nn.Conv2d(3, 5, 1)

        def forward(self, x_BCHW):
            features_BCHW = self.relu(self.convolution(self.pool(self.lift(x_BCHW))))
            return (features_BCHW + features_BCHW).flatten(1)

    torch.manual_seed(0)
    original, x_BCHW = Small().eval(), torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(specialized(original, size=16)(x_BCHW), original(x_BCHW), atol=1e-5, rtol=1e-5)
