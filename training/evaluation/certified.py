"""Certifying a test set: the engine in a loop, a row an image, resumable at any row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.tasks import LabelledImages, Task
from zoo.checkpoint import Checkpoint, record_results
from zoo.errors import LogError
from zoo.preprocessing import prepare
from zoo.results.log import HEADER, CertificationRow, format_row, parse_log, row_of
from zoo.results.summary import summarize
from zoo.smoothing import (
    BaseClassifier,
    Certificate,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)
from zoo.spec import CertificationResult, Preprocessing

RECORDED_RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRun:
    """What is certified and how. Every field decides what the rows say; two runs that differ cannot share a log."""

    model_sha256: str
    preprocessing: Preprocessing
    task: str
    data: str
    smoothing: SmoothingSpec
    backend: str
    seed: int

    def as_json(self) -> dict[str, Any]:
        smoothing = asdict(self.smoothing) | {"stopping": self.smoothing.stopping.name, "noise": "gaussian"}
        return asdict(self) | {"smoothing": smoothing, "preprocessing": self.preprocessing.model_dump()}


def select_indices(num_images: int, *, skip: int, maximum: int | None) -> list[int]:
    """Every `skip`-th image from the first on, below image number `maximum`: Cohen's `--skip` and `--max`."""
    return list(range(0, num_images if maximum is None else min(maximum, num_images), skip))


def certify_images(
    run: CertificationRun,
    base: BaseClassifier,
    images: LabelledImages,
    indices: Sequence[int],
    *,
    output: Path,
    options: SamplingOptions,
    console: Console,
) -> list[CertificationRow]:
    """Certifies the images not yet in `output`, appending a row each in order; returns all rows.

    The noise of image i is keyed by (seed, i): an interrupted run that is resumed ends with the rows of one that was
    not.
    Raises: LogError if `output` belongs to another run or cannot be written.
    """
    rows = _rows_so_far(run, output, indices)
    waiting = list(indices[len(rows) :])
    engine = CertificationEngine(NoisySampler(base, options))
    started: dict[int, float] = {}
    done: dict[int, Certificate] = {}
    with (
        _appending(output) as file,
        _progress_bar(console, total=len(indices), completed=len(rows)) as advance,
    ):
        while len(rows) < len(indices):
            while waiting and engine.num_remaining < options.batch_size:
                index = waiting.pop(0)
                started[index] = time.perf_counter()
                x_CHW = prepare(images[index], run.preprocessing)
                engine.admit(
                    Certification(index, x_CHW, smoothing=run.smoothing, key=NoiseKey(root=run.seed, job=index))
                )
            for finished in engine.step():
                assert isinstance(finished.result, Certificate) and isinstance(finished.id, int)
                done[finished.id] = finished.result
            while len(rows) < len(indices) and (index := indices[len(rows)]) in done:
                row = row_of(
                    done.pop(index),
                    idx=index,
                    label=images.labels[index],
                    seconds=time.perf_counter() - started.pop(index),
                    backend=run.backend,
                    seed=run.seed,
                )
                rows.append(row)
                file.write(format_row(row) + "\n")
                file.flush()
                advance()
    return rows


def run_record_path(output: Path) -> Path:
    """Where a log's run is recorded: beside the log, since its columns are those that other tools expect."""
    return output.with_name(output.name + ".run.json")


def _rows_so_far(run: CertificationRun, output: Path, indices: Sequence[int]) -> list[CertificationRow]:
    """The finished rows of this very run; begins the log if there is none. A row cut off by a kill is dropped."""
    record = run_record_path(output)
    wanted = json.loads(json.dumps(run.as_json()))
    try:
        if not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(wanted, indent=2) + "\n")
            output.write_text(HEADER + "\n")
            return []
        text = output.read_text()
        found = json.loads(record.read_text()) if record.exists() else None
    except (OSError, ValueError) as error:
        raise LogError(f"cannot use {output}: {error}") from error
    if found != wanted:
        raise LogError(
            f"{output} belongs to another run ({_difference(found, wanted)}): give another --output or delete it"
        )
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        output.write_text(complete or HEADER + "\n")
    rows = parse_log(complete or HEADER, source=str(output))
    if [row.idx for row in rows] != list(indices[: len(rows)]):
        raise LogError(f"{output} holds other images than --skip and --max now choose: give another --output")
    return rows


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict):
        return "the record of its run is missing"
    flat_found, flat_wanted = ({**each, **each.get("smoothing", {})} for each in (found, wanted))
    names = [name for name in flat_wanted if name != "smoothing" and flat_found.get(name) != flat_wanted[name]]
    return "; ".join(f"{name} was {flat_found.get(name)!r}, is {flat_wanted[name]!r}" for name in names)


@contextmanager
def _appending(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("a") as file:
            yield file
    except OSError as error:
        raise LogError(
            f"cannot write {path}: {error}; the rows so far are kept, run the same command to go on"
        ) from error


@contextmanager
def _progress_bar(console: Console, *, total: int, completed: int) -> Iterator[Any]:
    columns = (
        TextColumn("certifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("certifying", total=total, completed=completed)
        yield lambda: progress.update(bar, advance=1)


def run_for(
    checkpoint: Checkpoint, task: Task, *, smoothing: SmoothingSpec, backend: str, seed: int
) -> CertificationRun:
    """The run that certifies a checkpoint on a task."""
    return CertificationRun(
        model_sha256=checkpoint.weights_sha256,
        preprocessing=checkpoint.spec.preprocessing,
        task=task.name,
        data=task.digest,
        smoothing=smoothing,
        backend=backend,
        seed=seed,
    )


def record_certification(
    checkpoint: Checkpoint,
    run: CertificationRun,
    rows: Sequence[CertificationRow],
    *,
    skip: int,
    maximum: int | None,
) -> Checkpoint:
    """Writes the rows, the numbers they give and a new card into the checkpoint."""
    summary = summarize(rows, radii=RECORDED_RADII)
    smoothing = run.smoothing
    result = CertificationResult(
        task=run.task,
        split="test",
        skip=skip,
        maximum=maximum,
        num_images=summary.num_images,
        sigma=smoothing.sigma,
        noise="gaussian",
        n0=smoothing.n0,
        n=smoothing.n,
        alpha=smoothing.alpha,
        stopping=smoothing.stopping.name,
        backend=run.backend,
        seed=run.seed,
        standard_accuracy=summary.standard_accuracy,
        standard_accuracy_interval=summary.standard_accuracy_interval,
        average_certified_radius=summary.average_certified_radius,
        average_certified_radius_interval=summary.average_certified_radius_interval,
        abstention_rate=summary.abstention_rate,
        certified_accuracy=summary.certified_accuracy,
    )
    log = "\n".join([HEADER, *(format_row(row) for row in rows)]) + "\n"
    return record_results(checkpoint, certification=(result, log.encode()))
