"""The architecture of a base classifier, and a network with the normalization as its first layer.

An architecture is one of this project's ResNets or any network of timm. Everything that depends on the kind of network
asks its `Architecture`, or asks the network itself for its last layer (`head_names`).

sigma, epsilon and radius are always on the [0, 1] pixel scale, since the normalization is the first layer. The
normalization never clamps: a clamp after the noise would change the base classifier from the one that was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.errors import RequestError, UnknownNameError
from zoo.models.denoiser import Denoiser
from zoo.models.own_networks import KEY_NAMES, OWN_NETWORKS
from zoo.models.resnets import RESNETS
from zoo.models.spec import TimmNetwork

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A kind of bare network, without the normalization.

    `build` returns a randomly initialized network for a number of classes and for square images of a size in pixels.
    `timm` describes the same network to timm. `keys` names the project whose key names the state dict has.
    """

    name: str
    build: Callable[[int, int], nn.Module]
    timm: TimmNetwork
    keys: str


def _resnet(name: str) -> Architecture:
    def build(num_classes: int, size: int) -> nn.Module:
        return RESNETS[name](num_classes)

    return Architecture(name=name, build=build, timm=OWN_NETWORKS[name], keys=KEY_NAMES)


ARCHITECTURES: Mapping[str, Architecture] = {name: _resnet(name) for name in OWN_NETWORKS}
"""This project's own networks. `find_architecture` knows timm's too."""


def find_architecture(name: str) -> Architecture:
    """The architecture with the given name: one of this project's, or a network of timm.

    Only names in timm's table of networks reach timm: it would read weights of the Hub or of a folder for others.

    Raises: UnknownNameError; RequestError if the name also names weights.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    from zoo.models import timm_networks  # importing timm takes about a second

    known = timm_networks.names()
    if name in known:
        return Architecture(
            name=name,
            build=lambda num_classes, size: timm_networks.build(name, num_classes=num_classes, size=size),
            timm=timm_networks.describe(name),
            keys="timm",
        )
    network, dot, tag = name.partition(".")
    if dot and (network in known or network in ARCHITECTURES):
        raise RequestError(
            f"architecture {name!r} also names weights, {tag!r}: the architecture is {network!r}, and a starting point "
            "is given as --init MODEL"
        )
    more = f"the {len(known):,} networks that timm.list_models() names"
    raise UnknownNameError("architecture", name, ARCHITECTURES, others=known, more=more)


def head_names(backbone: nn.Module) -> tuple[str, ...]:
    """The names of the layers that compute the logits; a few networks of timm average the logits of two.

    Raises: RequestError if timm does not say which layers they are.
    """
    config: Any = getattr(backbone, "pretrained_cfg", None)  # timm sets it on every network
    if config is None:
        return ("fc",)
    stated = config.get("classifier") or ()
    heads = (stated,) if isinstance(stated, str) else tuple(stated)
    if not heads or not {name for name, _ in backbone.named_modules()}.issuperset(heads):
        raise RequestError(f"timm does not say which layer of {type(backbone).__name__} computes the logits")
    return heads


def is_inside(name: str, modules: Sequence[str]) -> bool:
    """Whether a module or tensor is one of the named modules or inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


FILLS = frozenset(
    {
        *(nn.init.constant_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_),
        *(Tensor.fill_, Tensor.zero_, Tensor.normal_, Tensor.uniform_),
    }
)


class _WithoutFills(TorchFunctionMode):
    """Leaves tensors on the meta device as they are, where torch would spend most of a network's construction."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FILLS:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def empty_backbone(architecture: Architecture, *, num_classes: int, size: int) -> nn.Module:
    """A bare network on the meta device. It is quick to build, and unusable until weights are assigned to it."""
    with torch.device("meta"), _WithoutFills():
        return architecture.build(num_classes, size)


def build_network(name: str, *, num_classes: int, preprocessing: Preprocessing) -> NormalizedNetwork:
    """A network with its normalization, randomly initialized from torch's global generator.

    Raises: UnknownNameError; RequestError if timm cannot build the network.
    """
    backbone = find_architecture(name).build(num_classes, preprocessing.crop)
    return NormalizedNetwork(backbone, mean=preprocessing.mean, std=preprocessing.std)
