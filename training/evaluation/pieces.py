"""A certification or an evaluation in pieces, for workers that have neither the checkpoint's folder nor the data.

The workers are given the checkpoint's files and the images. They return the rows, which the calling process logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

import torch
from PIL import Image

from training.evaluation.attack_targets import AttackTarget, attack_target_for
from training.evaluation.certification import certified_rows
from training.evaluation.certification_log import CertificationRun
from training.evaluation.empirical import Batch, evaluated_backend, rows_of_batch
from training.evaluation.empirical_log import EmpiricalRow
from training.tasks import LabelledImages
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.errors import BackendError
from zoo.loading.backend import open_backend
from zoo.models.measurements import Attack
from zoo.results.log import CertificationRow
from zoo.smoothing import BaseClassifier, SamplingOptions

Material = TypeVar("Material")
Opened = TypeVar("Opened")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

MAX_IMAGES_PER_PIECE = 16
BATCHES_PER_PIECE = 32
"""Fewer batches would have a larger share of partly filled ones; a longer piece loses more with its worker."""


class Workers(Protocol):
    """Other processes that compute pieces, such as `training.ray_tasks.RayTasks`, whose `results` has the details."""

    @property
    def num_workers(self) -> int: ...

    def results(
        self,
        opening: Callable[[Material], Opened],
        material: Material,
        work: Callable[[Opened, Piece], Result],
        next_piece: Callable[[], Piece | None],
    ) -> Iterator[Result]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certification:
    """What all pieces of a certification have in common."""

    files: Mapping[str, bytes]
    run: CertificationRun
    labels: Sequence[int]
    options: SamplingOptions
    backend: str
    precision: str | None
    device: str
    depends_on_batch_shape: bool


@dataclass(frozen=True, slots=True)
class _SentImages:
    """The images of a piece by number, and the labels of all images."""

    labels: Sequence[int]
    pictures: Mapping[int, Image.Image]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        return self.pictures[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationOnWorkers:
    """`certified_rows`, computed by workers; a row comes when its piece is finished, in any order."""

    workers: Workers
    checkpoint: Checkpoint
    backend: str
    """As in `--backend`."""
    precision: str | None
    """As in `--precision`."""
    device: str
    """The type of the device, such as cpu."""

    def __call__(
        self,
        run: CertificationRun,
        base: BaseClassifier,
        images: LabelledImages,
        indices: Sequence[int],
        *,
        options: SamplingOptions,
    ) -> Iterator[CertificationRow]:
        """Yields the rows of these images. Raises: BackendError if a worker has another base classifier than `base`."""
        material = _Certification(
            files=_contents(self.checkpoint),
            run=run,
            labels=list(images.labels),
            options=options,
            backend=self.backend,
            precision=self.precision,
            device=self.device,
            depends_on_batch_shape=base.depends_on_batch_shape,
        )
        size = _images_per_piece(run, options, num_images=len(indices), num_workers=self.workers.num_workers)
        shares = (indices[start : start + size] for start in range(0, len(indices), size))
        pieces = ({index: images[index] for index in share} for share in shares)
        for rows in self.workers.results(_open_base, material, _certify, partial(next, pieces, None)):
            yield from rows


def _images_per_piece(run: CertificationRun, options: SamplingOptions, *, num_images: int, num_workers: int) -> int:
    """At least one image; with a fixed number of draws, those of about BATCHES_PER_PIECE batches at most."""
    rule = run.smoothing.stopping
    full = ceil(BATCHES_PER_PIECE * options.batch_size / rule.max_n) if rule.name == "fixed" else MAX_IMAGES_PER_PIECE
    return max(1, min(MAX_IMAGES_PER_PIECE, full, ceil(num_images / (4 * num_workers))))


def _open_base(material: _Certification) -> tuple[_Certification, BaseClassifier]:
    with _unpacked(material.files) as checkpoint:
        base = open_backend(
            checkpoint, backend=material.backend, precision=material.precision, device=material.device, spins=False
        )
    _require_same(base.name, material.run.backend)
    _require_same((base.name, base.depends_on_batch_shape), (base.name, material.depends_on_batch_shape))
    return material, base


def _certify(
    opened: tuple[_Certification, BaseClassifier], pictures: Mapping[int, Image.Image]
) -> list[CertificationRow]:
    material, base = opened
    images = _SentImages(material.labels, pictures)
    return list(certified_rows(material.run, base, images, list(pictures), options=material.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """What all batches of an evaluation have in common."""

    files: Mapping[str, bytes]
    attack: Attack | None
    batch_size: int
    precision: str | None
    device: str
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOnWorkers:
    """The rows of batches, computed by workers; those of a batch come when it is finished, in any order."""

    workers: Workers
    checkpoint: Checkpoint
    batch_size: int
    precision: str | None
    """As in `--precision`."""
    base: BaseClassifier
    """The base classifier of this process, which those of the workers must equal."""

    def __call__(self, attack: Attack | None, batches: Iterable[Batch]) -> Iterator[list[EmpiricalRow]]:
        """Yields the rows of each batch under the attack. Raises: BackendError if a worker has another classifier."""
        material = _Evaluation(
            files=_contents(self.checkpoint),
            attack=attack,
            batch_size=self.batch_size,
            precision=self.precision,
            device=self.base.draws_on.type,
            backend=self.base.name,
        )
        return self.workers.results(_open_target, material, _measure, partial(next, iter(batches), None))


def _open_target(material: _Evaluation) -> tuple[torch.device, AttackTarget]:
    with _unpacked(material.files) as checkpoint:
        base = evaluated_backend(checkpoint, device=torch.device(material.device), precision=material.precision)
    _require_same(base.name, material.backend)
    return base.draws_on, attack_target_for(base, material.attack, batch_size=material.batch_size)


def _measure(opened: tuple[torch.device, AttackTarget], batch: Batch) -> list[EmpiricalRow]:
    device, target = opened
    return rows_of_batch(target, batch, device=device)


def _require_same(theirs: object, ours: object) -> None:
    if theirs != ours:
        raise BackendError(f"a worker has the base classifier {theirs}, and the run {ours}: use machines of one kind")


def _contents(checkpoint: Checkpoint) -> dict[str, bytes]:
    return {name: (checkpoint.path / name).read_bytes() for name in checkpoint.published_files}


@contextmanager
def _unpacked(files: Mapping[str, bytes]) -> Iterator[Checkpoint]:
    """The checkpoint of these files, in a temporary folder during the block."""
    with TemporaryDirectory(prefix="zoo-checkpoint-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        yield open_checkpoint(Path(folder))
