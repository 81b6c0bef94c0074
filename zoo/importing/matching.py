"""Extracted tensors against our architectures: all of a ResNet must be there, only its head may be new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.errors import ForeignCheckpointError
from zoo.models.architecture import ARCHITECTURES, find_architecture

COUNTER = "num_batches_tracked"
HEAD = ("fc.weight", "fc.bias")
_SEED_OF_FRESH_HEADS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedNetwork:
    """A whole network: float32 tensors that fit `architecture`, of which `missing` are not the file's.

    All names are torchvision's, those of `dropped` too: a head that was not taken.
    """

    architecture: str
    tensors: dict[str, Tensor]
    num_classes: int
    has_trained_head: bool
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]

    def backbone(self) -> nn.Module:
        """The bare network that holds these tensors; nothing is drawn to initialize it."""
        backbone = _without_values(self.architecture, self.num_classes)
        backbone.load_state_dict(self.tensors, strict=True, assign=True)
        return backbone


def match(
    tensors: Mapping[str, Tensor],
    *,
    path: Path,
    architecture: str | None,
    num_classes: int | None,
    fresh_head: bool,
) -> MatchedNetwork:
    """The tensors as a network of `architecture`, or of the one that they fit, with a head of `num_classes`.

    Raises: ForeignCheckpointError naming the tensor that is missing, too much, of another shape or not finite;
    UnknownNameError.
    """
    trunk = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    head = {name: tensor for name, tensor in tensors.items() if name not in trunk}
    _refuse_small_images(trunk, path)
    architecture = architecture or _nearest(trunk)
    expected = _trunk_shapes(architecture)
    if differences := _differences(trunk, expected):
        more = f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""
        raise ForeignCheckpointError(f"{path} holds no {architecture}: {differences[0]}{more}")
    features = _without_values(architecture, 2).get_parameter("fc.weight").shape[1]
    classes, trained = _head_size(head, features, num_classes, fresh_head=fresh_head, path=path)
    own = {**trunk, **(head if trained else {})}
    complete = {name: _checked(name, tensor, path) for name, tensor in own.items()}
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER) and name not in own}
    fresh = {} if trained else _fresh_head(classes, features)
    return MatchedNetwork(
        architecture=architecture,
        tensors={**complete, **counters, **fresh},
        num_classes=classes,
        has_trained_head=trained,
        matched=tuple(own),
        missing=(*counters, *fresh),
        dropped=() if trained else tuple(head),
    )


def _without_values(architecture: str, num_classes: int) -> nn.Module:
    with torch.device("meta"):
        return find_architecture(architecture).build(num_classes)


def _trunk_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    state = _without_values(architecture, 2).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if name not in HEAD}


def _nearest(trunk: Mapping[str, Tensor]) -> str:
    return min(ARCHITECTURES, key=lambda name: len(_differences(trunk, _trunk_shapes(name))))


def _differences(trunk: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What keeps the tensors from being the expected ones, in words."""
    missing = [f"{name} is missing" for name in expected if name not in trunk and not name.endswith(COUNTER)]
    shapes = [
        f"{name} has shape {tuple(trunk[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in trunk and tuple(trunk[name].shape) != shape
    ]
    return missing + shapes + [f"{name} has no place in it" for name in trunk if name not in expected]


def _refuse_small_images(trunk: Mapping[str, Tensor], path: Path) -> None:
    stem = trunk.get("conv1.weight")
    if stem is not None and stem.shape[2:] == (3, 3):
        raise ForeignCheckpointError(
            f"{path} holds a ResNet for small images (its first convolution is 3x3, as in CIFAR's ResNet-110), which "
            f"this zoo does not build: known architectures are {', '.join(ARCHITECTURES)}"
        )


def _head_size(
    head: Mapping[str, Tensor], features: int, wanted: int | None, *, fresh_head: bool, path: Path
) -> tuple[int, bool]:
    """The number of classes, and whether the file's own head is taken."""
    hidden = [name for name in head if name not in HEAD]
    if hidden and not fresh_head:
        raise ForeignCheckpointError(
            f"{path} has a head with hidden layers ({hidden[0]}): add --fresh-head --num-classes K to leave it out"
        )
    if fresh_head or not head:
        if wanted is None:
            raise ForeignCheckpointError(f"{path} gives no head to take: say --num-classes K for a fresh one")
        return wanted, False
    if absent := [name for name in HEAD if name not in head]:
        raise ForeignCheckpointError(f"{path}: {absent[0]} is missing, and {next(iter(head))} is not")
    in_file = len(head["fc.bias"]) if head["fc.bias"].ndim == 1 else 0
    if tuple(head["fc.weight"].shape) != (in_file, features) or in_file < 2:
        shapes = " and ".join(f"{name} {tuple(head[name].shape)}" for name in HEAD)
        raise ForeignCheckpointError(f"{path}: {shapes} are no head of K > 1 classes on {features} features")
    return (in_file, True) if wanted is None or wanted == in_file else (wanted, False)


def _fresh_head(num_classes: int, features: int) -> dict[str, Tensor]:
    """A linear layer as torch initializes it; of a fixed seed, so that one file always gives one checkpoint."""
    generator = torch.Generator().manual_seed(_SEED_OF_FRESH_HEADS)
    bound = 1 / math.sqrt(features)
    shapes = ((num_classes, features), (num_classes,))
    uniform = (torch.rand(shape, generator=generator) * 2 * bound - bound for shape in shapes)
    return dict(zip(HEAD, uniform, strict=True))


def _checked(name: str, tensor: Tensor, path: Path) -> Tensor:
    if name.endswith(COUNTER):
        return tensor.to(torch.int64)
    if not tensor.is_floating_point():
        raise ForeignCheckpointError(f"{path}: {name} is {tensor.dtype}, expected floating point")
    tensor = tensor.detach().to(torch.float32)
    if not tensor.isfinite().all():
        raise ForeignCheckpointError(f"{path}: {name} holds a value that is not finite")
    return tensor
