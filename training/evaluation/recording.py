"""The result of a finished certification, and writing it into the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from training.evaluation.certification_log import CertificationRun, log_text
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.writing import record_results
from zoo.models.measurements import Bound, CertificationResult
from zoo.results.log import CertificationRow
from zoo.results.selection import Selection
from zoo.results.summary import summarize
from zoo.smoothing.named_rules import tolerance_of

RECORDED_RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def record_certification(
    checkpoint: Checkpoint,
    run: CertificationRun,
    rows: Sequence[CertificationRow],
    *,
    selection: Selection,
) -> Checkpoint:
    """Writes the rows, their summary and a new card into the checkpoint."""
    result = certification_result(run, rows, radii=RECORDED_RADII, selection=selection)
    return record_results(checkpoint, certification=(result, log_text(rows).encode()))


def certification_result(
    run: CertificationRun,
    rows: Sequence[CertificationRow],
    *,
    radii: Sequence[float],
    selection: Selection,
) -> CertificationResult:
    """The summary of the rows with the settings of the run; `radii` are on the [0, 1] pixel scale."""
    summary, smoothing = summarize(rows, radii=radii), run.smoothing
    return CertificationResult(
        task=run.task,
        split="test",
        skip=selection.skip,
        maximum=selection.maximum,
        sample=selection.sample,
        num_images=summary.num_images,
        sigma=smoothing.sigma,
        noise=smoothing.noise,
        n0=smoothing.n0,
        n=smoothing.n,
        mean_n=summary.mean_n,
        alpha=smoothing.alpha,
        stopping=smoothing.stopping.name,
        bound=cast("Bound", smoothing.stopping.bound),  # checked there
        radius_asked=smoothing.stopping.radius_asked,
        tolerance=tolerance_of(smoothing.stopping),
        backend=run.backend,
        batch_size=run.batch_size,
        family=run.family,
        seed=run.seed,
        standard_accuracy=summary.standard_accuracy,
        standard_accuracy_interval=summary.standard_accuracy_interval,
        average_certified_radius=summary.average_certified_radius,
        average_certified_radius_interval=summary.average_certified_radius_interval,
        abstention_rate=summary.abstention_rate,
        certified_accuracy=summary.certified_accuracy,
        p_a_of_label=summary.p_a_of_label,
        classes=summary.classes,
    )
