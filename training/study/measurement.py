"""What a study measures of a network: the base classifier on some test images, and the smoothed one at some sigmas."""

from __future__ import annotations

import torch
from rich.console import Console

from training.evaluation.attacks import find_attack
from training.evaluation.certification_run import run_for as certification_run
from training.evaluation.certified import certify_images, select_indices
from training.evaluation.empirical import evaluate_network
from training.evaluation.empirical_log import EmpiricalLog
from training.evaluation.empirical_log import run_for as empirical_run
from training.evaluation.recording import certification_result
from training.study.folder import StudyFolder
from training.study.plan import Run
from training.tasks import Task
from training.threat import ThreatModel
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.loading.backend import default_batch_size, open_backend
from zoo.models.measurements import Attack, CertificationResult, EmpiricalResult
from zoo.smoothing import SamplingOptions, SmoothingSpec


def empirical_result(
    run: Run, checkpoint: Checkpoint, task: Task, folder: StudyFolder, *, device: torch.device
) -> EmpiricalResult | None:
    """Accuracy of the base classifier on the run's images, under attack and noise where these are asked for; attacked
    images are kept one by one in the folder's log.

    None for a network whose last layer is untrained.
    """
    if not checkpoint.spec.certified.has_trained_head:
        return None
    attack, batch_size = _attack(run, task) if run.measure.attack else None, run.evaluation.batch_size
    evaluated = empirical_run(checkpoint, task, attack=attack, device=device.type, batch_size=batch_size, seed=run.seed)
    return evaluate_network(
        checkpoint.load_network().to(device),
        task,
        checkpoint.spec.preprocessing,
        sigmas=run.evaluation.noise_sigmas if run.measure.noise else (),
        batch_size=batch_size,
        seed=run.seed,
        attack=attack,
        skip=run.evaluated.skip,
        maximum=run.evaluated.max,
        log=EmpiricalLog(folder.evaluation_path(run), evaluated),
    )


def certifications(
    run: Run, checkpoint: Checkpoint, task: Task, folder: StudyFolder, *, device: torch.device, console: Console
) -> tuple[CertificationResult, ...]:
    """What smoothing at each of the run's sigmas certifies; rows are kept one by one in the folder's logs."""
    if not run.measure.certify:
        return ()
    base = open_backend(checkpoint, device=device, spins=False)  # another run may be computing beside this one
    options = SamplingOptions(batch_size=default_batch_size(checkpoint, device))
    indices = select_indices(len(task.test), skip=run.certified.skip, maximum=run.certified.max)
    settings, results = run.evaluation.certification, []
    for sigma in run.measure.certify:
        smoothing = SmoothingSpec(sigma=sigma, n0=settings.n0, n=settings.n, alpha=settings.alpha)
        certified = certification_run(checkpoint, task, smoothing=smoothing, base=base, options=options, seed=run.seed)
        log = folder.log_path(run, sigma)
        rows = certify_images(certified, base, task.test, indices, output=log, options=options, console=console)
        images, radii = run.certified, run.evaluation.radii
        results.append(certification_result(certified, rows, radii=radii, skip=images.skip, maximum=images.max))
    return tuple(results)


def _attack(run: Run, task: Task) -> Attack:
    settings = run.evaluation.attack
    threat = ThreatModel(norm=settings.norm, epsilon=settings.epsilon)
    return find_attack(settings.name, threat, num_steps=settings.num_steps, num_classes=task.num_classes, seed=run.seed)
