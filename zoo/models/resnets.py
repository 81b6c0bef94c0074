"""This project's ResNets: torchvision's, with its key names, and a small one for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from zoo.models.own_networks import QUARTER_CHANNELS


class QuarterResNet(nn.Module):
    """ResNet-10 with a quarter of the channels, for CPUs.

    On 3x32x32 pixels it needs 1.5 M multiply-adds in addition to its stem's 2.4 M. The stem, the block and the key
    names are torchvision's; timm builds the network as `resnet18` with `layers` and `channels` overridden.
    """

    CHANNELS = QUARTER_CHANNELS

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
    from torchvision.models.resnet import BasicBlock

    shortcut = nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
    )
    return nn.Sequential(BasicBlock(in_channels, channels, stride=stride, downsample=shortcut))


def _resnet(name: str) -> Callable[[int], nn.Module]:
    def build(num_classes: int) -> nn.Module:
        from torchvision.models import resnet  # takes as long as importing torch; a served model does not need it

        # The residual branches start at zero: otherwise ResNet-50's first gradient norm is in the hundreds on digits.
        network: nn.Module = getattr(resnet, name)(num_classes=num_classes, zero_init_residual=True)
        return network

    return build


RESNETS: Mapping[str, Callable[[int], nn.Module]] = {
    **{name: _resnet(name) for name in ("resnet50", "resnet34", "resnet18")},
    "resnet10-quarter": QuarterResNet,
}
"""The networks by name; each function returns one for a number of classes."""
