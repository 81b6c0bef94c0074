"""Matching of extracted tensors with an architecture. A network must be complete; only its head may be new."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.errors import ForeignCheckpointError
from zoo.models.architecture import (
    ARCHITECTURES,
    Architecture,
    empty_backbone,
    find_architecture,
    head_names,
    is_inside,
)

COUNTER = "num_batches_tracked"
_SEED_OF_FRESH_HEADS = 0

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedNetwork:
    """A complete network: float32 tensors that fit `architecture`, built for square images of `size` pixels.

    `missing` names the tensors that are not from the file. `dropped` names those of a head that was not used. All names
    are the architecture's.
    """

    architecture: str
    size: int
    tensors: dict[str, Tensor]
    num_classes: int
    has_trained_head: bool
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]

    def backbone(self) -> nn.Module:
        """The network without normalization, with these tensors. No random generator is used to initialize it."""
        backbone = empty_backbone(find_architecture(self.architecture), num_classes=self.num_classes, size=self.size)
        backbone.load_state_dict(self.tensors, strict=True, assign=True)
        return backbone


def match(
    tensors: Mapping[str, Tensor],
    *,
    path: Path,
    architecture: Architecture | None,
    num_classes: int | None,
    fresh_head: bool,
    size: int,
) -> MatchedNetwork:
    """The tensors as a complete network.

    Args:
        tensors: The tensors by the architecture's names.
        path: The file, for messages.
        architecture: The architecture; None for the ResNet of this project that fits best.
        num_classes: The number of classes; None for that of the file's head.
        fresh_head: Whether to initialize a new head even if the file has one.
        size: The size of the images in pixels, for an architecture of fixed size.

    Raises: ForeignCheckpointError naming the tensor that is missing, unexpected, of another shape or not finite;
        RequestError if timm cannot build the architecture.
    """
    is_stated = architecture is not None
    if architecture is None:
        _refuse_small_images(tensors, path)
        resnets = list(ARCHITECTURES.values())
        architecture = resnets[nearest([tensors] * len(resnets), resnets, size=size)]
    backbone = _outline(architecture.name, size)
    heads = head_names(backbone)
    expected = {name: tensor for name, tensor in backbone.state_dict().items() if not is_inside(name, heads)}
    trunk = {name: tensor for name, tensor in tensors.items() if not is_inside(name, heads)}
    head = {name: tensor for name, tensor in tensors.items() if name not in trunk}
    if differences := _differences(trunk, {name: tuple(tensor.shape) for name, tensor in expected.items()}):
        more = f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""
        is_another = not is_stated and len(differences) > len(expected) // 2
        hint = "; for another network of timm add --architecture NAME" if is_another else ""
        raise ForeignCheckpointError(f"{path} is not a {architecture.name}: {differences[0]}{more}{hint}")
    layer = _only_layer(backbone, heads)
    if layer is None:
        classes, trained = _own_head_size(head, architecture, num_classes, fresh_head=fresh_head, path=path, size=size)
    else:
        classes, trained = _head_size(head, *layer, num_classes, fresh_head=fresh_head, path=path)
    in_file = {**trunk, **(head if trained else {})}
    complete = {name: _checked(name, tensor, expected.get(name), path) for name, tensor in in_file.items()}
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER) and name not in in_file}
    fresh = {} if trained or layer is None else _fresh_head(*layer, classes)
    return MatchedNetwork(
        architecture=architecture.name,
        size=size,
        tensors={**complete, **counters, **fresh},
        num_classes=classes,
        has_trained_head=trained,
        matched=tuple(in_file),
        missing=(*counters, *fresh),
        dropped=() if trained else tuple(head),
    )


def shapes_of(architecture: Architecture, *, size: int, num_classes: int = 2) -> Shapes:
    """The shape of every tensor of an architecture's network."""
    state = empty_backbone(architecture, num_classes=num_classes, size=size).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def nearest(networks: Sequence[Mapping[str, Tensor]], candidates: Sequence[Architecture], *, size: int) -> int:
    """The index of the architecture that its network differs least from, apart from the head."""
    if len(candidates) == 1:
        return 0

    def num_differences(index: int) -> int:
        backbone = _outline(candidates[index].name, size)
        heads = head_names(backbone)
        trunk = {name: tensor for name, tensor in networks[index].items() if not is_inside(name, heads)}
        expected = {
            name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items() if not is_inside(name, heads)
        }
        return len(_differences(trunk, expected))

    return min(range(len(candidates)), key=num_differences)


@lru_cache(maxsize=8)
def _outline(name: str, size: int) -> nn.Module:
    """An empty network of two classes to compare with, not to be changed; building one takes a tenth of a second."""
    return empty_backbone(find_architecture(name), num_classes=2, size=size)


def _only_layer(backbone: nn.Module, heads: Sequence[str]) -> tuple[tuple[str, str], int] | None:
    """The names of weight and bias of the head and its number of features; None if it is not one linear layer."""
    layer = backbone.get_submodule(heads[0])
    if len(heads) > 1 or type(layer) is not nn.Linear or layer.bias is None:
        return None
    return (f"{heads[0]}.weight", f"{heads[0]}.bias"), layer.in_features


def _differences(trunk: Mapping[str, Tensor], expected: Shapes) -> list[str]:
    """The differences between the tensors and the expected ones, one clause each."""
    missing = [f"{name} is missing" for name in expected if name not in trunk and not name.endswith(COUNTER)]
    shapes = [
        f"{name} has shape {tuple(trunk[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in trunk and tuple(trunk[name].shape) != shape
    ]
    return missing + shapes + [f"{name} is not in the architecture" for name in trunk if name not in expected]


def _refuse_small_images(trunk: Mapping[str, Tensor], path: Path) -> None:
    stem = trunk.get("conv1.weight")
    if stem is not None and stem.shape[2:] == (3, 3):
        raise ForeignCheckpointError(
            f"{path} is a ResNet for small images (its first convolution is 3x3, as in CIFAR's ResNet-110), which "
            f"this zoo does not support: known architectures are {', '.join(ARCHITECTURES)}"
        )


def _own_head_size(
    head: Mapping[str, Tensor],
    architecture: Architecture,
    requested: int | None,
    *,
    fresh_head: bool,
    path: Path,
    size: int,
) -> tuple[int, bool]:
    """The number of classes of the file's own head, which is not a single linear layer and cannot be replaced."""
    num_in_file = next((len(tensor) for tensor in head.values() if tensor.ndim), 0)
    if fresh_head or num_in_file < 2 or requested not in (None, num_in_file):
        raise ForeignCheckpointError(
            f"the head of a {architecture.name} is not a single linear layer, so that of {path} cannot be replaced by "
            "a fresh one: import the file with its own head and number of classes"
        )
    whole = shapes_of(architecture, size=size, num_classes=num_in_file)
    trunk = shapes_of(architecture, size=size)
    expected = {name: shape for name, shape in whole.items() if name in head or shape != trunk[name]}
    if differences := _differences(head, expected):
        raise ForeignCheckpointError(f"{path} has no head of {num_in_file} classes: {differences[0]}")
    return num_in_file, True


def _head_size(
    head: Mapping[str, Tensor],
    names: tuple[str, str],
    features: int,
    requested: int | None,
    *,
    fresh_head: bool,
    path: Path,
) -> tuple[int, bool]:
    """The number of classes, and whether the file's own head is used. `names` are its weight and bias."""
    weight, bias = names
    hidden = [name for name in head if name not in names]
    if hidden and not fresh_head:
        raise ForeignCheckpointError(
            f"{path} has a head with hidden layers ({hidden[0]}): add --fresh-head --num-classes K to leave it out"
        )
    if fresh_head or not head:
        if requested is None:
            raise ForeignCheckpointError(f"no head of {path} is used: add --num-classes K for a fresh head")
        return requested, False
    if absent := [name for name in names if name not in head]:
        raise ForeignCheckpointError(f"{path}: {absent[0]} is missing, but {next(iter(head))} is present")
    num_in_file = len(head[bias]) if head[bias].ndim == 1 else 0
    if tuple(head[weight].shape) != (num_in_file, features) or num_in_file < 2:
        shapes = " and ".join(f"{name} {tuple(head[name].shape)}" for name in names)
        raise ForeignCheckpointError(f"{path}: {shapes} are not a head of K > 1 classes on {features} features")
    return (num_in_file, True) if requested is None or requested == num_in_file else (requested, False)


def _fresh_head(names: tuple[str, str], features: int, num_classes: int) -> dict[str, Tensor]:
    """A linear layer, initialized as in torch. The seed is fixed, so one file always gives the same checkpoint."""
    generator = torch.Generator().manual_seed(_SEED_OF_FRESH_HEADS)
    bound = 1 / math.sqrt(features)
    shapes = ((num_classes, features), (num_classes,))
    uniform = (torch.rand(shape, generator=generator) * 2 * bound - bound for shape in shapes)
    return dict(zip(names, uniform, strict=True))


def _checked(name: str, tensor: Tensor, expected: Tensor | None, path: Path) -> Tensor:
    if expected is not None and not expected.is_floating_point():  # a counter, or a table of indices
        return tensor.to(expected.dtype)
    if not tensor.is_floating_point():
        raise ForeignCheckpointError(f"{path}: {name} is {tensor.dtype}, expected floating point")
    tensor = tensor.detach().to(torch.float32)
    if not tensor.isfinite().all():
        raise ForeignCheckpointError(f"{path}: {name} contains a value that is not finite")
    return tensor
