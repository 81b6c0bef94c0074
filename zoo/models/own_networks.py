"""timm's descriptions of this project's own networks. They are read without torch, as by `zoo verify`."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.models.spec import TimmNetwork

QUARTER_CHANNELS = (16, 32, 64, 128)
"""The channels of the four stages of resnet10-quarter."""

KEY_NAMES = "torchvision"
"""The project whose key names their state dicts have."""

OWN_NETWORKS: Mapping[str, TimmNetwork] = {
    "resnet50": TimmNetwork(name="resnet50"),
    "resnet34": TimmNetwork(name="resnet34"),
    "resnet18": TimmNetwork(name="resnet18"),
    "resnet10-quarter": TimmNetwork(name="resnet18", args={"layers": [1, 1, 1, 1], "channels": list(QUARTER_CHANNELS)}),
}
