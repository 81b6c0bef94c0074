"""What the files next to a log say about it: the task, its data and the network's input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.run_record import run_record_path
from zoo.errors import LogError
from zoo.models.layout import CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """The task of a log, the digest of its data, and the preprocessing of the network; None where no file says it."""

    task: str | None = None
    data: str | None = None
    preprocessing: dict[str, Any] | None = None


def context_of(log: Path) -> LogContext:
    """The context in the record of the run, or in the config of the checkpoint that contains the log."""
    record = _read(run_record_path(log))
    if record:
        return LogContext(
            task=record.get("task"), data=record.get("data") or None, preprocessing=record.get("preprocessing")
        )
    config = _read(log.with_name(CONFIG))
    certified = config.get("certified")
    certification = certified.get("certification") if isinstance(certified, dict) else None
    task = certification.get("task") if isinstance(certification, dict) else None
    return LogContext(task=task, preprocessing=certified.get("preprocessing") if isinstance(certified, dict) else None)


def context_differences(first: LogContext, second: LogContext) -> list[str]:
    """A sentence on what only limits the comparison.

    Raises: LogError if the logs are of different tasks or data, or if their networks have inputs of different sizes,
    so that an l2 radius means another change of the picture.
    """
    if None not in (first.task, second.task) and first.task != second.task:
        raise LogError(f"the logs are of different tasks, {first.task} and {second.task}")
    if None not in (first.data, second.data) and first.data != second.data:
        raise LogError(f"the logs are of different data of {first.task}: their digests differ")
    one, other = first.preprocessing, second.preprocessing
    if one is None or other is None:
        return ["no file next to the logs records the input of both networks: their l2 radii may mean different things"]
    if one.get("crop") != other.get("crop"):
        raise LogError(
            f"the networks have inputs of {one.get('crop')} and {other.get('crop')} pixels a side, so an l2 radius of "
            "one is another change of the picture than of the other"
        )
    keys = [key for key in ("resize", "interpolation", "fit") if one.get(key) != other.get(key)]
    return [f"the {key} of the pictures differs: {one.get(key)} and {other.get(key)}" for key in keys]


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
