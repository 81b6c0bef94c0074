"""The log of an empirical evaluation: a classifier's answers on each image, clean and attacked."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import StringIO
from typing import Any, ClassVar

from training.evaluation.run_log import RunLog
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import LogError
from zoo.models.measurements import Attack, Sampling
from zoo.models.spec import Preprocessing
from zoo.results.log import ABSTAIN
from zoo.smoothing import BaseClassifier


@dataclass(frozen=True, slots=True, kw_only=True)
class EmpiricalRow:
    """One image with its true class and the answers; -1 is an abstention of a smoothed classifier.

    The last four fields are None without an attack. Robust accuracy counts `robust`. `distance` is the distance of the
    attacked image from the clean one, in the attack's norm on the [0, 1] pixel scale. It is 0 if the attack found
    nothing or the clean image was already misclassified.
    """

    idx: int
    label: int
    predict: int
    clean_correct: bool
    attacked_predict: int | None = None
    robust: bool | None = None
    distance: float | None = None
    attack: str | None = None


COLUMNS = tuple(field.name for field in fields(EmpiricalRow))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmpiricalRun:
    """The identity of an evaluation. Every field affects the rows, so runs that differ cannot share a log.

    `batch_size` is included: the last digits of logits depend on the batch's shape, and an attack depends on the
    logits.
    """

    model_sha256: str
    preprocessing: Preprocessing
    task: str
    data: str
    attack: Attack | None
    backend: str
    batch_size: int
    seed: int
    sample: Sampling | None = None

    def as_json(self) -> dict[str, Any]:
        """The identity as recorded next to the log."""
        attack = {} if self.attack is None else self.attack.model_dump(mode="json", exclude={"name", "seed"})
        identity = {
            "model_sha256": self.model_sha256,
            "preprocessing": self.preprocessing.model_dump(),
            "task": self.task,
            "data": self.data,
            "attack": None if self.attack is None else self.attack.name,
            **attack,
            "backend": self.backend,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "sample": self.sample,
        }
        as_read_back: dict[str, Any] = json.loads(json.dumps(identity))
        return as_read_back


def empirical_run(
    checkpoint: Checkpoint,
    task: Task,
    *,
    attack: Attack | None,
    base: BaseClassifier,
    batch_size: int,
    seed: int,
    sample: Sampling | None = None,
) -> EmpiricalRun:
    """The run that measures a checkpoint, computed by `base`, on a task."""
    return EmpiricalRun(
        model_sha256=checkpoint.weights_sha256,
        preprocessing=checkpoint.spec.preprocessing,
        task=task.name,
        data=task.digest,
        attack=attack,
        backend=base.name,
        batch_size=batch_size,
        seed=seed,
        sample=sample,
    )


@dataclass(frozen=True, slots=True)
class EmpiricalLog(RunLog[EmpiricalRow]):
    """The log of one evaluation."""

    working: ClassVar[str] = "evaluating"

    @property
    def header(self) -> str:
        return "\t".join(COLUMNS)

    def format_row(self, row: EmpiricalRow) -> str:
        values = (getattr(row, name) for name in COLUMNS)
        return "\t".join(_cell(value) for value in values)

    def parse(self, text: str, *, source: str) -> list[EmpiricalRow]:
        reader = csv.DictReader(StringIO(text), delimiter="\t")
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise LogError(f"{source} does not have the expected columns {' '.join(COLUMNS)}")
        rows: list[EmpiricalRow] = []
        try:
            for values in reader:
                if None in values.values() or None in values:
                    raise ValueError(f"expected {len(COLUMNS)} columns; is the file cut off?")
                rows.append(_parsed(values))
        except (ValueError, csv.Error) as error:
            raise LogError(f"{source}, line {len(rows) + 2}: {error}") from error
        return rows

    def is_same(self, row: EmpiricalRow, other: EmpiricalRow) -> bool:
        return row == other


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _parsed(values: Mapping[str, str]) -> EmpiricalRow:
    row = EmpiricalRow(
        idx=int(values["idx"]),
        label=int(values["label"]),
        predict=int(values["predict"]),
        clean_correct=_flag(values["clean_correct"]),
        attacked_predict=int(values["attacked_predict"]) if values["attacked_predict"] else None,
        robust=_flag(values["robust"]) if values["robust"] else None,
        distance=float(values["distance"]) if values["distance"] else None,
        attack=values["attack"] or None,
    )
    if row.idx < 0 or row.label < 0 or row.predict < ABSTAIN:
        raise ValueError(f"idx {row.idx}, label {row.label} or predict {row.predict} is out of range")
    if row.clean_correct != (row.predict == row.label):
        raise ValueError(f"clean_correct is {int(row.clean_correct)}, but label is {row.label}, predict {row.predict}")
    are_empty = {value is None for value in (row.attacked_predict, row.robust, row.distance, row.attack)}
    if len(are_empty) > 1:
        raise ValueError("some but not all columns of the attack are empty")
    if row.robust and row.attacked_predict not in (row.label, ABSTAIN):
        raise ValueError(f"robust is 1, but label is {row.label} and attacked_predict {row.attacked_predict}")
    return row


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text == "1"
