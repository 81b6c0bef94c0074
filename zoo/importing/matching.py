"""Matching of extracted tensors with an architecture. A network must be complete; only its last layer may be new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.errors import ForeignCheckpointError, RequestError
from zoo.models.architecture import ARCHITECTURES, empty_backbone, find_architecture, head_names, is_inside

COUNTER = "num_batches_tracked"
_SEED_OF_FRESH_HEADS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedNetwork:
    """A complete network: float32 tensors that fit `architecture` for images of `size` pixels.

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
        """The network without normalization, with these tensors. Other values that it computes are missing."""
        backbone = _without_values(self.architecture, self.num_classes, self.size)
        backbone.load_state_dict(self.tensors, strict=True, assign=True)
        return backbone


def match(
    tensors: Mapping[str, Tensor],
    *,
    path: Path,
    architecture: str | None,
    num_classes: int | None,
    fresh_head: bool,
    size: int = 224,
) -> MatchedNetwork:
    """The tensors as a complete network.

    Args:
        tensors: The tensors by the architecture's names.
        path: The file, for messages.
        architecture: The architecture's name; None for the ResNet that fits best.
        num_classes: The number of classes; None for that of the file's head.
        fresh_head: Whether to initialize a new head even if the file has one.
        size: The size of the network's images in pixels; some networks have weights for a single size.

    Raises: ForeignCheckpointError naming the tensor that is missing, unexpected, of another shape or not finite;
        UnknownNameError; RequestError if the architecture cannot be built.
    """
    if architecture is None:
        _refuse_small_images(tensors, path)
        architecture = _nearest(tensors)
    empty = _without_values(architecture, 2, size)
    head_name, features = _linear_head(empty, architecture)
    head = {name: tensor for name, tensor in tensors.items() if is_inside(name, [head_name])}
    trunk = {name: tensor for name, tensor in tensors.items() if name not in head}
    expected = _trunk_shapes(empty, head_name)
    if differences := _differences(trunk, expected):
        more = f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""
        raise ForeignCheckpointError(f"{path} is not a {architecture}: {differences[0]}{more}")
    classes, trained = _head_size(head, head_name, features, num_classes, fresh_head=fresh_head, path=path)
    in_file = {**trunk, **(head if trained else {})}
    complete = {name: _checked(name, tensor, path) for name, tensor in in_file.items()}
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER) and name not in in_file}
    fresh = {} if trained else _fresh_head(head_name, classes, features)
    return MatchedNetwork(
        architecture=architecture,
        size=size,
        tensors={**complete, **counters, **fresh},
        num_classes=classes,
        has_trained_head=trained,
        matched=tuple(in_file),
        missing=(*counters, *fresh),
        dropped=() if trained else tuple(head),
    )


def names_of(architecture: str | None, *, size: int) -> tuple[str, tuple[str, ...]]:
    """The name of the last layer, and the names of the tensors below it.

    There are no such names for this project's ResNets and for None: the formats know their names and renamings.
    """
    if architecture is None or architecture in ARCHITECTURES:
        return "fc", ()
    backbone = _without_values(architecture, 2, size)
    head_name, _ = _linear_head(backbone, architecture)
    return head_name, tuple(name for name in _trunk_shapes(backbone, head_name) if not name.endswith(COUNTER))


def _without_values(architecture: str, num_classes: int, size: int) -> nn.Module:
    return empty_backbone(find_architecture(architecture), num_classes=num_classes, size=size)


def _linear_head(backbone: nn.Module, architecture: str) -> tuple[str, int]:
    """The name of the last layer and the number of its inputs. Raises: RequestError if it is not one linear layer."""
    name, *others = head_names(backbone)
    layer = backbone.get_submodule(name)
    if others or not isinstance(layer, nn.Linear) or layer.bias is None:
        raise RequestError(f"the last layer of {architecture} is not a single linear layer: it cannot be imported")
    return name, layer.in_features


def _trunk_shapes(backbone: nn.Module, head_name: str) -> dict[str, tuple[int, ...]]:
    state = backbone.state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not is_inside(name, [head_name])}


def _nearest(tensors: Mapping[str, Tensor]) -> str:
    """The ResNet that differs from the tensors in the fewest names and shapes, without the last layer."""
    trunk = {name: tensor for name, tensor in tensors.items() if not is_inside(name, ["fc"])}
    return min(
        ARCHITECTURES, key=lambda name: len(_differences(trunk, _trunk_shapes(_without_values(name, 2, 224), "fc")))
    )


def _differences(trunk: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
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


def _head_size(
    head: Mapping[str, Tensor], head_name: str, features: int, requested: int | None, *, fresh_head: bool, path: Path
) -> tuple[int, bool]:
    """The number of classes, and whether the file's own head is used."""
    weight, bias = f"{head_name}.weight", f"{head_name}.bias"
    hidden = [name for name in head if name not in (weight, bias)]
    if hidden and not fresh_head:
        raise ForeignCheckpointError(
            f"{path} has a head with hidden layers ({hidden[0]}): add --fresh-head --num-classes K to leave it out"
        )
    if fresh_head or not head:
        if requested is None:
            raise ForeignCheckpointError(f"no head of {path} is used: add --num-classes K for a fresh head")
        return requested, False
    if absent := [name for name in (weight, bias) if name not in head]:
        raise ForeignCheckpointError(f"{path}: {absent[0]} is missing, but {next(iter(head))} is present")
    num_in_file = len(head[bias]) if head[bias].ndim == 1 else 0
    if tuple(head[weight].shape) != (num_in_file, features) or num_in_file < 2:
        shapes = " and ".join(f"{name} {tuple(head[name].shape)}" for name in (weight, bias))
        raise ForeignCheckpointError(f"{path}: {shapes} are not a head of K > 1 classes on {features} features")
    return (num_in_file, True) if requested is None or requested == num_in_file else (requested, False)


def _fresh_head(head_name: str, num_classes: int, features: int) -> dict[str, Tensor]:
    """A linear layer, initialized as in torch. The seed is fixed, so one file always gives the same checkpoint."""
    generator = torch.Generator().manual_seed(_SEED_OF_FRESH_HEADS)
    bound = 1 / math.sqrt(features)
    shapes = ((num_classes, features), (num_classes,))
    uniform = (torch.rand(shape, generator=generator) * 2 * bound - bound for shape in shapes)
    return dict(zip((f"{head_name}.weight", f"{head_name}.bias"), uniform, strict=True))


def _checked(name: str, tensor: Tensor, path: Path) -> Tensor:
    if name.endswith(COUNTER):
        return tensor.to(torch.int64)
    if not tensor.is_floating_point():
        raise ForeignCheckpointError(f"{path}: {name} is {tensor.dtype}, expected floating point")
    tensor = tensor.detach().to(torch.float32)
    if not tensor.isfinite().all():
        raise ForeignCheckpointError(f"{path}: {name} contains a value that is not finite")
    return tensor
