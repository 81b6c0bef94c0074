"""CertifiedNetwork, the result of `zoo.load`: a checkpoint's network with a reference to its checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.weights import backbone_of, denoiser_of, read_weights
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import CheckpointError, RequestError
from zoo.host.atomic_write import write_all_atomically
from zoo.models.architecture import NormalizedNetwork
from zoo.models.denoiser import Denoiser
from zoo.models.denoiser_config import DenoiserConfig
from zoo.models.layout import DENOISER, WEIGHTS
from zoo.models.spec import UNKNOWN, CertifiedConfig, ModelSpec
from zoo.models.transforms import Transforms

if TYPE_CHECKING:
    from zoo.hub import Commit


class CertifiedNetwork(NormalizedNetwork):
    """The network of a checkpoint: from pixels in [0, 1], plus any noise, to `logits_BK`.

    `transforms` turns a picture into such pixels, like the transforms of torchvision's weights but without the
    normalization, which is the network's first layer. `from_pretrained`, `save_pretrained` and `push_to_hub` have the
    interface of the Hub client's mixin and are strict. Either every weight is loaded or none, from safetensors only,
    and each file is checked against the manifest. A network with changed weights is never published with the results
    of the old weights.
    """

    def __init__(self, backbone: nn.Module, checkpoint: Checkpoint, denoiser: Denoiser | None = None) -> None:
        """`backbone` is the network of `checkpoint.spec` without the normalization, and `denoiser` its denoiser."""
        preprocessing = checkpoint.spec.preprocessing
        super().__init__(backbone, mean=preprocessing.mean, std=preprocessing.std, denoiser=denoiser)
        self.checkpoint = checkpoint

    @property
    def spec(self) -> ModelSpec:
        """The specification of the network: its architecture, its origin and its measured results."""
        return self.checkpoint.spec

    @property
    def transforms(self) -> Transforms:
        """The transforms from a PIL picture or an image file to `x_CHW` in [0, 1].

        The network takes `x_CHW`, and a certificate covers it.
        """
        return Transforms(self.spec.preprocessing)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class, in the order of the logits."""
        return self.spec.certified.class_names

    @classmethod
    def from_pretrained(cls, model: str | Path, *, revision: str | None = None) -> Self:
        """The network of a checkpoint directory, a Hub id or a catalog id, in eval mode.

        Raises: RequestError if `model` is none of these; CheckpointError, HubError.
        """
        from zoo.loading.locate import locate

        return cls.from_checkpoint(locate(str(model), revision=revision))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """The network of an opened checkpoint, in eval mode; the weights are hashed again as they are read.

        Raises: CheckpointError if the weights file has changed since, does not fit the architecture, or contains a
        value that is not finite.
        """
        return cls(checkpoint.load_backbone(), checkpoint, checkpoint.load_denoiser()).eval()

    def save_pretrained(self, directory: str | Path) -> Checkpoint:
        """Writes the network as a checkpoint.

        If the weights are those that were loaded, all files of the loaded checkpoint are copied. If the weights were
        changed, only the facts that still hold are written, without any results.

        Raises: RequestError if the directory is not empty, or the network's layers or number of classes have changed;
        CheckpointError if it cannot be written, a weight is not finite, or the loaded checkpoint no longer exists.
        """
        directory = Path(directory)
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RequestError(f"{directory} exists and is not an empty directory: choose a new one")
        loaded = open_checkpoint(self.checkpoint.path)
        if not self.is_unchanged():
            spec = _spec_without_results(self.spec, parent=self.checkpoint.weights_sha256)
            self._require_fit()
            return save_checkpoint(directory, self, spec)
        try:
            write_all_atomically(
                directory, {name: (loaded.path / name).read_bytes() for name in loaded.published_files}
            )
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint {directory}: {error.strerror or error}") from error
        return open_checkpoint(directory)

    def push_to_hub(self, repository: str, *, private: bool | None = None, commit_message: str | None = None) -> Commit:
        """Publishes the files that `save_pretrained` writes as one commit; fails if another user pushes in between.

        `private` is the visibility of a new repository, None for the owner's default; an existing repository must match
        it.

        Raises: HubError, and the errors of `save_pretrained`.
        """
        from zoo import hub

        with tempfile.TemporaryDirectory() as folder:
            checkpoint = self.save_pretrained(folder)
            return hub.push(checkpoint, repository, private=private, message=commit_message)

    def is_unchanged(self) -> bool:
        """True if every weight tensor equals the tensor that was loaded.

        Raises: CheckpointError if the loaded checkpoint no longer exists or was changed.
        """
        modules = {WEIGHTS: self.backbone} | ({} if self.denoiser is None else {DENOISER: self.denoiser})
        if modules.keys() != self.checkpoint.files.keys() & {WEIGHTS, DENOISER}:
            return False
        return all(self._equals_file(module, name) for name, module in modules.items())

    def _equals_file(self, module: nn.Module, name: str) -> bool:
        loaded = read_weights(self.checkpoint.path / name, sha256=self.checkpoint.files[name])
        current = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
        return current.keys() == loaded.keys() and all(
            torch.equal(tensor, loaded[name].to(tensor.dtype)) for name, tensor in current.items()
        )

    def _require_fit(self) -> None:
        denoiser = self.spec.certified.denoiser
        if (denoiser is None) != (self.denoiser is None):
            raise RequestError("a denoiser was added to the network or removed from it, so its spec no longer holds")
        try:
            backbone_of(self.spec, self.backbone.state_dict())
            if denoiser is not None and self.denoiser is not None:
                denoiser_of(denoiser.shape, self.denoiser.state_dict())
        except RuntimeError as error:
            raise RequestError(
                f"the network is no longer a {self.spec.architecture} of {self.spec.num_classes} classes, as its spec "
                f"states: {' '.join(str(error).split())}; to change the classes, use zoo train --init"
            ) from error


def checkpoint_of(model: str | Path | CertifiedNetwork, *, revision: str | None = None) -> Checkpoint:
    """The checkpoint of MODEL, or of a loaded network with unchanged weights.

    Raises: RequestError if `model` is neither, or the network's weights were changed; CheckpointError, HubError.
    """
    if not isinstance(model, CertifiedNetwork):
        from zoo.loading.locate import locate

        return locate(str(model), revision=revision)
    if revision is not None:
        raise RequestError(
            f"revision={revision!r} applies to the name of a MODEL, not to a network that is already loaded"
        )
    if not model.is_unchanged():
        raise RequestError(
            f"the network's weights differ from those of {model.checkpoint.path}: save them as a new checkpoint with "
            "save_pretrained, and use that checkpoint"
        )
    return model.checkpoint


def _denoiser_of_unknown_origin(known: DenoiserConfig) -> DenoiserConfig:
    return DenoiserConfig(shape=known.shape, sigma=known.sigma, objective=UNKNOWN, task=known.task, input=known.input)


def _spec_without_results(spec: ModelSpec, *, parent: str) -> ModelSpec:
    """The spec with only the facts that still hold after the weights were modified by unknown means."""
    known = spec.certified
    certified = CertifiedConfig(
        objective=UNKNOWN,
        sigma=known.sigma,
        task=known.task,
        class_names=known.class_names,
        parent=parent,
        has_trained_head=known.has_trained_head,
        preprocessing=known.preprocessing,
        denoiser=None if known.denoiser is None else _denoiser_of_unknown_origin(known.denoiser),
    )
    return spec.model_copy(update={"certified": certified})
