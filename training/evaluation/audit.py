"""Audits the numbers on a card by certifying random test images again with fresh noise.

The audit makes three checks. Together they refute a checkpoint with correct claims with a probability of at most
`SIGNIFICANCE`:

1. The card's numbers follow from the rows of its log. This is arithmetic over all rows, without chance.
2. The card's numbers are not better than fresh noise gives. See `zoo.results.comparison`.
3. Fresh noise does not refute the claim of a single row. See `zoo.results.implausible`.

Fresh noise has another root than the log's noise: the operating system's randomness, unless a seed is given.
docs/decisions/0016-audit.md lists what an audit cannot detect.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from rich.console import Console

from training.evaluation.certification import certified_rows
from training.evaluation.certification_log import certification_run
from training.streams import derived_seed, stream
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.cli._progress import tracked
from zoo.errors import LogError, RequestError
from zoo.models.layout import ROWS
from zoo.models.measurements import CertificationResult
from zoo.results.comparison import ComparedRows, Comparison, claims_of, compare
from zoo.results.contradictions import contradictions
from zoo.results.implausible import ImplausibleRow, implausible_rows
from zoo.results.log import CertificationRow, read_log
from zoo.results.multiple_testing import SIGNIFICANCE
from zoo.results.subsampling import subsampled
from zoo.results.summary import Summary, summarize
from zoo.smoothing import BaseClassifier, Noise, SamplingOptions, SmoothingSpec
from zoo.smoothing.named_rules import FIXED, rule_from
from zoo.smoothing.stopping import SIMULTANEOUS


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """The images to certify again, with the claim's settings or with fewer draws."""

    checkpoint: Checkpoint
    task: Task
    claim: CertificationResult
    smoothing: SmoothingSpec
    indices: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The findings of an audit.

    `weights_sha256` and `rows_sha256` identify the audited network and its log. `num_in_log` is the number of audited
    images that are in the log too. `contradictions` are claims that the log itself does not confirm. `audited` are the
    numbers of the fresh rows; it is None if the log could not be read, since then nothing was drawn. `comparisons`
    leaves out tests with too few images to refute anything.
    """

    model: str
    weights_sha256: str
    rows_sha256: str | None
    task: str
    num_images: int
    num_in_log: int
    seed: int
    n: int
    claimed_n: int
    backend: str
    claimed_backend: str
    significance: float
    contradictions: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    implausible_rows: tuple[ImplausibleRow, ...] = ()
    audited: Summary | None = None

    @property
    def is_refuted(self) -> bool:
        """Whether a claim of the card or a row of its log was refuted."""
        return bool(self.contradictions or self.implausible_rows) or any(test.is_refuted for test in self.comparisons)


def plan_audit(checkpoint: Checkpoint, task: Task, *, num_images: int, n: int | None, seed: int | None) -> AuditPlan:
    """The plan to certify `num_images` random test images again.

    Args:
        checkpoint: The checkpoint whose card makes the claims.
        task: The task of the claims.
        num_images: The number of test images to draw.
        n: Draws per image; None for the claim's number.
        seed: Root of images and noise; None for the operating system's randomness, which the checkpoint's author
            cannot predict.
    Raises: RequestError if the card claims nothing on the task, the task has fewer images, `n` is larger than the
    claim's, or `n` is smaller and the claim's stopping rule is not the fixed one; CertificationError if `n` draws can
    certify nothing.
    """
    claim = _claim_of(checkpoint, task)
    if num_images > len(task.test):
        raise RequestError(f"--images {num_images} is more than the {len(task.test)} test images of {task.name}")
    seed = secrets.randbits(63) if seed is None else seed
    drawn = torch.randperm(len(task.test), generator=stream(seed, "audit-images"))[:num_images]
    return AuditPlan(
        checkpoint=checkpoint,
        task=task,
        claim=claim,
        smoothing=_smoothing_of(claim, n=n),
        indices=tuple(sorted(drawn.tolist())),
        seed=seed,
    )


def audit_claims(plan: AuditPlan, base: BaseClassifier, *, options: SamplingOptions, console: Console) -> Audit:
    """Certifies the images of the plan, with progress on `console`, and tests the claims on the new rows."""
    claim, smoothing = plan.claim, plan.smoothing
    log, faults = _read_rows(plan)
    audit = Audit(
        model=plan.checkpoint.spec.name,
        weights_sha256=plan.checkpoint.weights_sha256,
        rows_sha256=plan.checkpoint.files.get(ROWS),
        task=plan.task.name,
        num_images=len(plan.indices),
        num_in_log=len({row.idx for row in log} & set(plan.indices)),
        seed=plan.seed,
        n=smoothing.n,
        claimed_n=claim.n,
        backend=base.name,
        claimed_backend=claim.backend,
        significance=SIGNIFICANCE,
        contradictions=tuple(faults),
    )
    if not log:
        return audit
    fresh = _certify(plan, base, options=options, console=console)
    generator = np.random.default_rng(derived_seed(plan.seed, "audit-tests"))
    comparisons, implausible = compare_rows(
        log, fresh, claim, n=smoothing.n, num_classes=base.num_classes, generator=generator
    )
    return replace(
        audit,
        comparisons=tuple(comparisons),
        implausible_rows=tuple(implausible),
        audited=summarize(fresh, radii=[point.radius for point in claim.certified_accuracy]),
    )


def compare_rows(
    log: Sequence[CertificationRow],
    fresh: Sequence[CertificationRow],
    claim: CertificationResult,
    *,
    n: int,
    num_classes: int,
    generator: np.random.Generator,
) -> tuple[list[Comparison], list[ImplausibleRow]]:
    """The tests of the claims and of single rows, each at half of `SIGNIFICANCE`.

    Fewer draws than the claim's give smaller radii. The claims are then computed from the log's rows subsampled to `n`.

    Args:
        log: The rows behind the claim.
        fresh: The audit's rows.
        claim: The numbers on the card.
        n: Draws per row of `fresh`.
        num_classes: The number of classes of the classifier.
        generator: Randomness of the subsampling and of the tests.
    """
    fewer = log if n == claim.n else subsampled(log, n, generator=generator)
    fresh_of, comparable = {row.idx: row for row in fresh}, {row.idx: row for row in fewer}
    rows = ComparedRows(
        same=[(row, fresh_of[row.idx]) for row in fewer if row.idx in fresh_of],
        only_log=[row for row in fewer if row.idx not in fresh_of],
        only_audit=[row for row in fresh if row.idx not in comparable],
    )
    comparisons = compare(claims_of(claim), rows, significance=SIGNIFICANCE / 2, generator=generator)
    pairs = [(row, fresh_of[row.idx]) for row in log if row.idx in fresh_of]
    return comparisons, implausible_rows(pairs, num_classes=num_classes, significance=SIGNIFICANCE / 2)


def _claim_of(checkpoint: Checkpoint, task: Task) -> CertificationResult:
    name, claim = checkpoint.spec.name, checkpoint.spec.certified.certification
    if claim is None:
        raise RequestError(
            f"the card of {name} claims no certified numbers, so there is nothing to audit: zoo certify MODEL --record "
            "creates them"
        )
    if claim.task != task.name:
        raise RequestError(
            f"the card of {name} claims numbers on {claim.task}, not on {task.name}: give --task {claim.task}"
        )
    return claim


def _smoothing_of(claim: CertificationResult, *, n: int | None) -> SmoothingSpec:
    if n is not None and n > claim.n:
        raise RequestError(f"--n {n} is above the card's {claim.n}: more draws give larger radii than the card claims")
    if n is not None and n < claim.n and claim.stopping != FIXED:
        raise RequestError(f"--n needs the stopping rule {FIXED}, but the card's rule is {claim.stopping}: omit --n")
    if n is not None and n < claim.n and claim.bound == SIMULTANEOUS:
        raise RequestError(f"--n needs the default bound of the rule, but the card's bound is {claim.bound}: omit --n")
    bound = claim.bound if claim.stopping == FIXED else None
    rule = rule_from(claim.stopping, n=n or claim.n, radius=claim.radius_asked, tolerance=claim.tolerance, bound=bound)
    noise = cast("Noise", claim.noise)
    return SmoothingSpec(sigma=claim.sigma, n0=claim.n0, alpha=claim.alpha, stopping=rule, noise=noise)


def _read_rows(plan: AuditPlan) -> tuple[list[CertificationRow], list[str]]:
    """The rows of the checkpoint's log, and its contradictions to the card; no rows if the log is not usable."""
    if ROWS not in plan.checkpoint.files:
        return [], [f"the card claims certified numbers, but the checkpoint has no {ROWS} with their rows"]
    try:
        log = read_log(plan.checkpoint.path / ROWS)
    except LogError as error:
        return [], [str(error)]
    faults = contradictions(plan.claim, log, labels=plan.task.test.labels)
    return ([] if any(row.provenance is None for row in log) else log), faults


def _certify(
    plan: AuditPlan, base: BaseClassifier, *, options: SamplingOptions, console: Console
) -> list[CertificationRow]:
    # The log's seed may equal the audit's; a derived root keeps the two noise streams different.
    root = derived_seed(plan.seed, "audit-noise")
    run = certification_run(plan.checkpoint, plan.task, smoothing=plan.smoothing, base=base, options=options, seed=root)
    rows = certified_rows(run, base, plan.task.test, plan.indices, options=options)
    return list(tracked(rows, console, "certifying again", total=len(plan.indices)))
