"""DnCNN, the denoiser of denoised smoothing.

Sources: Zhang et al. 2017 (DnCNN), section III; Zhang et al. 2018 (FFDNet), section III, for the downsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.denoiser_config import DenoiserShape

CHANNELS = 3


class Denoiser(nn.Module):
    """Maps noisy pixels `x_BCHW` to denoised pixels of the same shape, both on the [0, 1] scale and never clamped.

    It sees the noisy image only. The noise level is the one that it was trained for. Height and width must be multiples
    of the downsampling. The names of its weights start with what it estimates, `image` or `noise`: a file of weights
    therefore determines the function.
    """

    def __init__(self, shape: DenoiserShape) -> None:
        super().__init__()
        self.downsampling, self.estimates = shape.downsampling, shape.estimates
        channels, width = CHANNELS * shape.downsampling**2, shape.width
        layers: list[nn.Module] = [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(shape.depth - 2):
            layers.append(nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1))
        self.add_module(shape.estimates, nn.Sequential(*layers))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        blocks_BCHW = F.pixel_unshuffle(x_BCHW, self.downsampling) if self.downsampling > 1 else x_BCHW
        estimate_BCHW: Tensor = self.get_submodule(self.estimates)(blocks_BCHW)
        if self.downsampling > 1:
            estimate_BCHW = F.pixel_shuffle(estimate_BCHW, self.downsampling)
        return x_BCHW - estimate_BCHW if self.estimates == "noise" else estimate_BCHW


def empty_denoiser(shape: DenoiserShape) -> Denoiser:
    """A denoiser on the meta device. It is quick to build, and unusable until weights are assigned to it."""
    with torch.device("meta"):
        return Denoiser(shape)
