"""What is kept of a finished run, and of a failed one: one JSON file each, written in one move."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import CheckpointError
from zoo.filesystem.atomic_write import write_atomically
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
    """A finished run. `request` is all that decides its numbers. `empirical` is of the base classifier, None where its
    last layer is untrained. Each measurement names its images and settings. `was_resumed`: `seconds` then tell only of
    the last process.
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
        """What smoothing at that sigma gave, if it was measured."""
        return next((each for each in self.certifications if each.sigma == sigma), None)


class Failure(_Strict):
    """Why a run failed."""

    id: str
    request: dict[str, Any]
    message: str
    traceback: str
    failed: str


Kept = TypeVar("Kept", RunResult, Failure)


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """What the file holds; None if there is none. Raises: CheckpointError if it is damaged."""
    try:
        return kind.model_validate_json(path.read_bytes()) if path.exists() else None
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is damaged: delete it to do the run again ({_first_line(error)})") from error


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one move, after its content is on disk. Raises: CheckpointError if it cannot be written."""
    try:
        write_atomically(path, text + "\n")
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error


def _first_line(error: Exception) -> str:
    return "; ".join(str(error).splitlines()[:3])
