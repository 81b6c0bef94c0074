"""Builds the network that a specification describes from exactly the weights of its checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.models.architecture import empty_backbone, find_architecture
from zoo.models.denoiser import Denoiser, empty_denoiser
from zoo.models.denoiser_config import DenoiserShape
from zoo.models.spec import ModelSpec


def load_backbone(path: Path, spec: ModelSpec, *, sha256: str) -> nn.Module:
    """The bare network that `spec` describes, with the weights in the safetensors file at `path`.

    Raises: CheckpointError if the bytes of the file do not have the hash `sha256`, the weights do not fit the
    architecture, or a value is not finite.
    """
    try:
        backbone = backbone_of(spec, read_weights(path, sha256=sha256))
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit {spec.architecture}: {error}") from error
    require_finite(backbone, path)
    return backbone


def load_denoiser(path: Path, shape: DenoiserShape, *, sha256: str) -> Denoiser:
    """The denoiser of a shape, with the weights in the safetensors file at `path`.

    Raises: CheckpointError if the bytes of the file do not have the hash `sha256`, the weights do not fit the shape, or
    a value is not finite.
    """
    try:
        denoiser = denoiser_of(shape, read_weights(path, sha256=sha256))
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit a {shape.describe()}: {error}") from error
    require_finite(denoiser, path)
    return denoiser


def backbone_of(spec: ModelSpec, weights: dict[str, Tensor]) -> nn.Module:
    """The bare network that `spec` describes, with exactly these weights, in the precision of the architecture.

    Raises: RuntimeError if a weight is missing, unexpected or has another shape; RequestError if the architecture is
    unknown or cannot be built.
    """
    architecture, num_classes, size = find_architecture(spec.architecture), spec.num_classes, spec.preprocessing.crop
    backbone = empty_backbone(architecture, num_classes=num_classes, size=size)
    _assign(backbone, weights)
    if any(value.is_meta for value in _computed_values(backbone)):
        # The constructor computes tables that are not weights. Only now, since the file may name a network of any size.
        with torch.random.fork_rng(devices=[]):
            backbone = architecture.build(num_classes, size)
        _assign(backbone, weights)
    return backbone


def denoiser_of(shape: DenoiserShape, weights: dict[str, Tensor]) -> Denoiser:
    """The denoiser of a shape with exactly these weights. Raises: RuntimeError, as `backbone_of` does."""
    denoiser = empty_denoiser(shape)
    _assign(denoiser, weights)
    return denoiser


def _assign(module: nn.Module, weights: dict[str, Tensor]) -> None:
    expected = module.state_dict()
    fitting = {name: value.to(expected[name].dtype) if name in expected else value for name, value in weights.items()}
    module.load_state_dict(fitting, strict=True, assign=True)


def serialized(module: nn.Module, path: Path) -> bytes:
    """The module's weights as the contents of a safetensors file. Raises: CheckpointError if a value is not finite."""
    require_finite(module, path)
    # A tensor that two layers share is stored under both names, as copies: safetensors refuses shared memory.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }
    return safetensors.torch.save(tensors, metadata={"format": "pt"})


def _computed_values(backbone: nn.Module) -> Iterator[Tensor]:
    """The network's buffers, and the tensors that are plain attributes of its modules."""
    yield from backbone.buffers()
    for module in backbone.modules():
        yield from (value for value in vars(module).values() if isinstance(value, Tensor))


def read_weights(path: Path, *, sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, parsed from the same bytes that were hashed.

    Raises: CheckpointError if the file cannot be read or parsed, or its hash is not `sha256`.
    """
    content = read_unchanged(path, sha256=sha256)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    return tensors


def read_unchanged(path: Path, *, sha256: str) -> bytes:
    """The content of a file, from the same bytes that were hashed.

    If another process replaces the file during the read, the hash and the content still come from the same bytes.
    Raises: CheckpointError if the file cannot be read, or its hash is not `sha256`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise CheckpointError(f"{path} has changed since it was opened: SHA-256 is {actual}, was {sha256}")
    return content


def require_finite(module: nn.Module, path: Path) -> None:
    """Raises CheckpointError, which names the tensor and the file `path`, if a value is not finite."""
    for name, tensor in module.state_dict().items():
        # The sum takes a tenth of the time. A finite sum implies finite terms; finite terms may still overflow the sum.
        if not tensor.sum().isfinite() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} contains a value that is not finite")
