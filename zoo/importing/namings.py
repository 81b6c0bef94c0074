"""The names that projects give to the tensors of a network, and the renaming to the names of our architectures."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoo.models.architecture import ARCHITECTURES, Architecture, empty_backbone, head_names, is_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """A way to name the tensors of a network.

    `last` finds the prefix before a network's names, and one of `others` confirms the prefix: inside a block of a
    ResNet, "layer1.0." precedes a "conv1.weight" too.
    """

    name: str
    last: str
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the network's first tensors, or of all its tensors."""
        return (*self.others, self.last)


RESNET = Naming(name="torchvision's ResNet", last="layer1.0.conv1.weight", others=("conv1.weight", "bn1.weight"))
NUMBERED = Naming(name="numbered ResNet", last="4.0.conv1.weight", others=("5.0.conv1.weight",))
"""`nn.Sequential` of the children of torchvision's ResNet."""
EFFICIENTNET = Naming(
    name="EfficientNet-PyTorch", last="_blocks.0._depthwise_conv.weight", others=("_conv_stem.weight", "_bn0.weight")
)
"""The PyPI packages efficientnet-pytorch and efficientnet-lite-pytorch."""

# list(resnet.children()) of torchvision: relu, maxpool and avgpool (2, 3 and 8) have no tensors.
_CHILDREN = {
    "0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4", "9": "fc",
}  # fmt: skip
# timm's networks with the padding of TensorFlow, which the weights of EfficientNet-PyTorch were trained with, and their
# numbers of blocks. Only the second kind has squeeze-and-excitation.
_LITE = {f"tf_efficientnet_lite{size}": blocks for size, blocks in enumerate((16, 21, 21, 24, 30))}
_WITH_EXCITATION = {
    f"tf_efficientnet_b{size}": blocks for size, blocks in enumerate((16, 23, 23, 26, 32, 39, 45, 55, 61))
}
EFFICIENTNETS = (*_LITE, *_WITH_EXCITATION)
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
}  # fmt: skip
_WITH_EXPANSION = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_WITHOUT_EXPANSION = {
    "_depthwise_conv": "conv_dw", "_bn1": "bn1", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw", "_bn2": "bn2",
}  # fmt: skip
_NAME_IN_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")
_TIMM_BLOCK = re.compile(r"blocks\.\d+\.\d+(?=\.)")


def naming_of(architecture: Architecture, *, size: int) -> Naming:
    """The naming of one of this project's architectures, for square images of `size` pixels.

    Raises: RequestError if timm cannot build the network.
    """
    if architecture.name in ARCHITECTURES:
        return RESNET
    backbone = empty_backbone(architecture, num_classes=2, size=size)
    heads = head_names(backbone)
    names = sorted((name for name in backbone.state_dict() if not is_inside(name, heads)), key=len)
    return Naming(name=architecture.name, last=names[-1], others=tuple(names[:-1]))


def from_numbered(name: str) -> str:
    """torchvision's name of a tensor of a numbered ResNet."""
    child, dot, rest = name.partition(".")
    return _CHILDREN.get(child, child) + dot + rest


def possible_efficientnets(names: Collection[str]) -> list[str]:
    """The networks with as many blocks as a network in the naming of EfficientNet-PyTorch, all if there are none."""
    num_blocks = len({match[1] for match in map(_NAME_IN_BLOCK.fullmatch, names) if match})
    sizes = _WITH_EXCITATION if any("._se_reduce." in name for name in names) else _LITE
    return [name for name, blocks in sizes.items() if blocks == num_blocks] or list(sizes)


def from_efficientnet(names: Collection[str], expected: Collection[str]) -> Mapping[str, str]:
    """timm's name of every tensor of a network in the naming of EfficientNet-PyTorch; unknown names are kept.

    Blocks are numbered through there; timm numbers stages, and the blocks in each. `expected` are the names of timm's
    network, whose blocks are in the same order. A first block has no expansion, and timm numbers its layers from one.
    """
    matches = (_TIMM_BLOCK.match(name) for name in expected)
    blocks = list(dict.fromkeys(match[0] for match in matches if match))
    return {name: _timm_name(name, expected, blocks) for name in names}


def _timm_name(name: str, expected: Collection[str], blocks: list[str]) -> str:
    match = _NAME_IN_BLOCK.fullmatch(name)
    if match is None:
        layer, dot, rest = name.partition(".")
        return _OUTSIDE_BLOCKS.get(layer, layer) + dot + rest
    number, layer, rest = match.groups()
    block = blocks[int(number)] if int(number) < len(blocks) else None
    layers = _WITH_EXPANSION if f"{block}.conv_pwl.weight" in expected else _WITHOUT_EXPANSION
    return name if block is None or layer not in layers else f"{block}.{layers[layer]}.{rest}"
