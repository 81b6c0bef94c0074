"""The identity of a certification and its log; only a run with the same identity resumes the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from training.evaluation.run_log import RunLog, text_of
from training.evaluation.run_record import CLASS_NAMES
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.models.measurements import Sampling, SharedAlpha
from zoo.models.spec import Preprocessing
from zoo.results.log import HEADER, CertificationRow, format_row, parse_log
from zoo.smoothing import BaseClassifier, SamplingOptions, SmoothingSpec
from zoo.smoothing.named_rules import tolerance_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRun:
    """The identity of a certification. Every field affects the rows, so runs that differ cannot share a log.

    `batch_size` is None if votes do not depend on it. `family` is the alpha that all certificates share, of which
    `smoothing.alpha` is the part of each; None if they do not share one. `sample` is the kind of sample that selects
    the images. A log may be continued with a larger sample of the same kind and seed, or with other evenly spaced
    images. `class_names` does not affect the rows: it is recorded next to the log for readers and is not part of the
    identity.
    """

    model_sha256: str
    preprocessing: Preprocessing
    task: str
    data: str
    smoothing: SmoothingSpec
    backend: str
    batch_size: int | None
    seed: int
    family: SharedAlpha | None = None
    sample: Sampling | None = None
    class_names: tuple[str, ...] = field(default=(), compare=False)

    def as_json(self) -> dict[str, Any]:
        """The identity as recorded next to the log; `n` is the largest number of draws of the stopping rule."""
        smoothing, rule = self.smoothing, self.smoothing.stopping
        identity = {
            "model_sha256": self.model_sha256,
            "preprocessing": self.preprocessing.model_dump(),
            "task": self.task,
            "data": self.data,
            "sigma": smoothing.sigma,
            "noise": smoothing.noise,
            "n0": smoothing.n0,
            "n": rule.max_n,
            "alpha": smoothing.alpha,
            "stopping": rule.name,
            "bound": rule.bound,
            "radius": rule.radius_asked,
            "tolerance": tolerance_of(rule),
            "backend": self.backend,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "family": None if self.family is None else self.family.model_dump(),
            "sample": self.sample,
        }
        as_read_back: dict[str, Any] = json.loads(json.dumps(identity))
        return as_read_back


def certification_run(
    checkpoint: Checkpoint,
    task: Task,
    *,
    smoothing: SmoothingSpec,
    base: BaseClassifier,
    options: SamplingOptions,
    seed: int,
    family: SharedAlpha | None = None,
    sample: Sampling | None = None,
) -> CertificationRun:
    """The run that certifies a checkpoint on a task. `family` is as in CertificationRun."""
    return CertificationRun(
        model_sha256=checkpoint.weights_sha256,
        preprocessing=checkpoint.spec.preprocessing,
        task=task.name,
        data=task.digest,
        smoothing=smoothing,
        backend=base.name,
        batch_size=options.batch_size if base.depends_on_batch_shape else None,
        seed=seed,
        family=family,
        sample=sample,
        class_names=task.class_names,
    )


@dataclass(frozen=True, slots=True)
class CertificationLog(RunLog[CertificationRow]):
    """The log of one certification; rows that differ only in their time are equal."""

    working: ClassVar[str] = "certifying"
    remark_names: ClassVar[tuple[str, ...]] = (CLASS_NAMES,)

    run: CertificationRun

    @property
    def header(self) -> str:
        return HEADER

    @property
    def remarks(self) -> dict[str, Any]:
        return {CLASS_NAMES: list(self.run.class_names)}

    def format_row(self, row: CertificationRow) -> str:
        return format_row(row)

    def parse(self, text: str, *, source: str) -> list[CertificationRow]:
        return parse_log(text, source=source)

    def is_same(self, row: CertificationRow, other: CertificationRow) -> bool:
        return replace(row, time=other.time) == other


def log_text(rows: Sequence[CertificationRow]) -> str:
    """The text of a log file with these rows."""
    return text_of(HEADER, map(format_row, rows))
