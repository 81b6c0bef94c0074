"""Certifies a test set with one process or several: one log row per image, resumable at any row."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from rich.console import Console
from torch import Tensor

from training.distributed import SINGLE_PROCESS, Ranks
from training.evaluation.certification_log import CertificationLog, CertificationRun
from training.evaluation.preparing_ahead import prepared_ahead
from training.evaluation.run_log import differing_fields
from training.tasks import LabelledImages
from training.tasks.loader_workers import num_loader_workers
from zoo.cli._progress import progress_bar
from zoo.errors import LogError
from zoo.results.log import CertificationRow, row_of
from zoo.smoothing import (
    BaseClassifier,
    Certificate,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
)


class RowSource(Protocol):
    """Computes the rows of images, as `certified_rows` does in this process."""

    def __call__(
        self,
        run: CertificationRun,
        base: BaseClassifier,
        images: LabelledImages,
        indices: Sequence[int],
        *,
        options: SamplingOptions,
    ) -> Iterator[CertificationRow]: ...


def certify_images(
    run: CertificationRun,
    base: BaseClassifier,
    images: LabelledImages,
    indices: Sequence[int],
    *,
    output: Path,
    options: SamplingOptions,
    console: Console,
    ranks: Ranks = SINGLE_PROCESS,
    rows_of: RowSource | None = None,
) -> list[CertificationRow]:
    """Certifies the images that are not in `output` yet and returns all rows in order. All ranks must call it.

    The key of image i's noise is (seed, i). A resumed run therefore ends with the same rows as an uninterrupted run,
    for any number of ranks.

    Args:
        run: The identity of the certification.
        base: The base classifier.
        images: The test images with their labels.
        indices: The numbers of the images to certify; each rank takes a share.
        output: The log.
        options: Batch size of the sampling.
        console: Output of the progress bar.
        ranks: The processes that share the work.
        rows_of: Computes the rows, in any order; None for `certified_rows`.
    Raises: LogError if `output` belongs to another run, is being written by another process or cannot be written, or
    if the ranks have different arguments.
    """
    _require_same_work(run, indices, ranks)
    log = CertificationLog(output, run)
    with log.held(ranks):
        return _certify_remaining(
            log, base, images, indices, options=options, console=console, ranks=ranks, rows_of=rows_of
        )


def _certify_remaining(
    log: CertificationLog,
    base: BaseClassifier,
    images: LabelledImages,
    indices: Sequence[int],
    *,
    options: SamplingOptions,
    console: Console,
    ranks: Ranks,
    rows_of: RowSource | None,
) -> list[CertificationRow]:
    done = {row.idx for row in log.merge(indices, ranks)}
    share = [index for index in indices if index not in done][ranks.rank :: ranks.world_size]
    num_before = len(done) if ranks.world_size == 1 else 0
    if share:
        num_workers = num_loader_workers(base.draws_on, num_images=len(share), num_processes=ranks.world_size)
        rows_of = rows_of or partial(certified_rows, num_threads=max(1, num_workers))
        with (
            log.appending(ranks) as append,
            progress_bar(console, "certifying", total=num_before + len(share), completed=num_before) as advance,
        ):
            for row in rows_of(log.run, base, images, share, options=options):
                append(row)
                advance()
    if ranks.world_size > 1:
        console.print("the first rank's share is done; waiting for the others")
    rows = log.merge(indices, ranks)
    with ranks.failing_together():
        if len(rows) < len(indices):
            missing = len(indices) - len(rows)
            raise LogError(f"{missing} of {len(indices)} rows are missing from {log.path}: run the same command again")
    return rows


def certified_rows(
    run: CertificationRun,
    base: BaseClassifier,
    images: LabelledImages,
    indices: Sequence[int],
    *,
    options: SamplingOptions,
    num_threads: int = 1,
) -> Iterator[CertificationRow]:
    """Yields the rows of these images in order, each as soon as it and all earlier rows are certified.

    `num_threads` threads prepare the images, as in `prepared_ahead`.
    """
    engine = CertificationEngine(NoisySampler(base, options))
    num_waiting = len(indices)
    started: dict[int, tuple[Certification, float]] = {}
    done: dict[int, CertificationRow] = {}
    with closing(prepared_ahead(images, indices, run.preprocessing, num_threads=num_threads)) as prepared:
        for index in indices:
            while index not in done:
                while num_waiting and engine.num_remaining < options.batch_size:
                    admitted, x_CHW = next(prepared)
                    num_waiting -= 1
                    started[admitted] = _job(run, admitted, x_CHW), time.perf_counter()
                    engine.admit(started[admitted][0])
                for finished in engine.step():
                    assert isinstance(finished.result, Certificate) and isinstance(finished.id, int)
                    job, start = started.pop(finished.id)
                    label = images.labels[finished.id]
                    done[finished.id] = row_of(
                        finished.result,
                        idx=finished.id,
                        label=label,
                        count_label=job.num_votes(label),
                        seconds=time.perf_counter() - start,
                        seed=run.seed,
                    )
            yield done.pop(index)


def _job(run: CertificationRun, index: int, x_CHW: Tensor) -> Certification:
    return Certification(
        index,
        x_CHW,
        smoothing=run.smoothing,
        key=NoiseKey(root=run.seed, job=index),
        input=run.preprocessing.describe(),
    )


def _require_same_work(run: CertificationRun, indices: Sequence[int], ranks: Ranks) -> None:
    """Raises LogError unless all ranks certify the same images with the same settings."""
    started = ranks.all_gather({**run.as_json(), "images": list(indices)})
    with ranks.failing_together():
        for rank, other in enumerate(started):
            names = differing_fields(other, started[0])
            if names:
                raise LogError(
                    f"rank {rank} has other {', '.join(names)} than rank 0: start all ranks with the same options"
                )
