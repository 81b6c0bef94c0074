"""Networks with torchvision's key names and the normalization as their first layer.

sigma, epsilon and radius are therefore always on the [0, 1] pixel scale. The normalization never clamps: a clamp
after the noise would change the base classifier from the one that was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from zoo.errors import UnknownNameError
from zoo.models.denoiser import Denoiser

if TYPE_CHECKING:
    from zoo.models.spec import Preprocessing


class Normalization(nn.Module):
    """`(x_BCHW - mean) / std` per channel; the statistics are not part of the state dict."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean_C11", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW - self.mean_C11) / self.std_C11


class NormalizedNetwork(nn.Module):
    """Maps pixels in [0, 1], plus any noise, to `logits_BK`.

    With a denoiser it is the base classifier of denoised smoothing (Salman et al. 2020): the denoiser maps noisy pixels
    to pixels, and the classifier, `backbone` after the normalization, sees the result. A checkpoint stores the bare
    network `backbone` and the denoiser.
    """

    def __init__(
        self, backbone: nn.Module, *, mean: Sequence[float], std: Sequence[float], denoiser: Denoiser | None = None
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.normalization = Normalization(mean, std)
        self.backbone = backbone

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.classify(x_BCHW if self.denoiser is None else self.denoiser(x_BCHW))

    def classify(self, x_BCHW: Tensor) -> Tensor:
        """`logits_BK` of the classifier alone, without the denoiser."""
        logits_BK: Tensor = self.backbone(self.normalization(x_BCHW))
        return logits_BK


class QuarterResNet(nn.Module):
    """ResNet-10 with a quarter of the channels, for CPUs.

    On 3x32x32 pixels it needs 1.5 M multiply-adds in addition to its stem's 2.4 M. The stem, the block and the key
    names are torchvision's; timm builds the network as `resnet18` with `layers` and `channels` overridden.
    """

    CHANNELS = (16, 32, 64, 128)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        in_channels = 64
        for number, channels in enumerate(self.CHANNELS, start=1):
            self.add_module(f"layer{number}", _stage(in_channels, channels, stride=1 if number == 1 else 2))
            in_channels = channels
        self.fc = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        features_BCHW = self.maxpool(self.relu(self.bn1(self.conv1(x_BCHW))))
        for number in range(1, len(self.CHANNELS) + 1):
            features_BCHW = self.get_submodule(f"layer{number}")(features_BCHW)
        logits_BK: Tensor = self.fc(features_BCHW.mean(dim=(2, 3)))
        return logits_BK


def _stage(in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
    )
    return nn.Sequential(resnet.BasicBlock(in_channels, channels, stride=stride, downsample=shortcut))


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A builder of a bare network, and the name and arguments with which timm builds the same network."""

    build: Callable[[int], nn.Module]
    timm_name: str
    timm_args: dict[str, Any] = field(default_factory=dict)


# The residual branches start at zero: otherwise ResNet-50's first gradient norm is in the hundreds on digits.
ARCHITECTURES = {
    "resnet50": Architecture(
        build=lambda num_classes: resnet.resnet50(num_classes=num_classes, zero_init_residual=True),
        timm_name="resnet50",
    ),
    "resnet34": Architecture(
        build=lambda num_classes: resnet.resnet34(num_classes=num_classes, zero_init_residual=True),
        timm_name="resnet34",
    ),
    "resnet18": Architecture(
        build=lambda num_classes: resnet.resnet18(num_classes=num_classes, zero_init_residual=True),
        timm_name="resnet18",
    ),
    "resnet10-quarter": Architecture(
        build=QuarterResNet,
        timm_name="resnet18",
        timm_args={"layers": [1, 1, 1, 1], "channels": list(QuarterResNet.CHANNELS)},
    ),
}


def find_architecture(name: str) -> Architecture:
    """The architecture with the given name. Raises: UnknownNameError, which lists the known architectures."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise UnknownNameError("architecture", name, ARCHITECTURES) from None


def empty_backbone(name: str, *, num_classes: int) -> nn.Module:
    """A bare network on the meta device. It is quick to build, and unusable until weights are assigned to it."""
    with torch.device("meta"):
        return find_architecture(name).build(num_classes)


def build_network(name: str, *, num_classes: int, preprocessing: Preprocessing) -> NormalizedNetwork:
    """A network with its normalization, randomly initialized from torch's global generator."""
    backbone = find_architecture(name).build(num_classes)
    return NormalizedNetwork(backbone, mean=preprocessing.mean, std=preprocessing.std)
