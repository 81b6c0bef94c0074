"""The records of finished and failed runs: one JSON file each, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import CheckpointError
from zoo.host.atomic_write import write_atomically
from zoo.models.measurements import CertificationResult, EmpiricalResult

SCHEMA_VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Seconds(_Strict):
    """Wall-clock seconds of each phase, in the process that finished the run."""

    train: float = Field(ge=0)
    evaluate: float = Field(ge=0)
    certify: float = Field(ge=0)

    @property
    def total(self) -> float:
        return self.train + self.evaluate + self.certify


class RunResult(_Strict):
    """A finished run.

    `request` contains everything that determines its numbers. `empirical` is the evaluation of the base classifier,
    None if its last layer is untrained. Each measurement records its images and settings. If `was_resumed`, `seconds`
    covers the last process only.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    study: str
    request: dict[str, Any]
    num_classes: int
    num_train_images: int
    weights_sha256: str
    parent_sha256: str | None
    empirical: EmpiricalResult | None
    certifications: tuple[CertificationResult, ...]
    versions: dict[str, str]
    device: str
    num_threads: int
    seconds: Seconds
    was_resumed: bool
    finished: str

    def certification_at(self, sigma: float) -> CertificationResult | None:
        """The certification at that sigma; None if it was not measured."""
        return next((result for result in self.certifications if result.sigma == sigma), None)


class Failure(_Strict):
    """The reason why a run failed."""

    id: str
    request: dict[str, Any]
    message: str
    traceback: str
    failed: str


Kept = TypeVar("Kept", RunResult, Failure)


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """The record in the file; None if there is no file. Raises: CheckpointError if the file is damaged."""
    try:
        return kind.model_validate_json(path.read_bytes()) if path.exists() else None
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is damaged: delete it to repeat the run ({_first_line(error)})") from error


def write_text(path: Path, text: str) -> None:
    """Replaces the file atomically. Raises: CheckpointError if the file cannot be written."""
    try:
        write_atomically(path, text + "\n")
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error


def _first_line(error: Exception) -> str:
    return "; ".join(str(error).splitlines()[:3])
