"""The learning rate as a function of training progress; its only state is the history of validation accuracies."""

import math
from collections.abc import Sequence

from training.recipe import Schedule


def lr_factor(
    schedule: Schedule, *, step: int, steps_per_epoch: int, total_steps: int, history: Sequence[float]
) -> float:
    """The factor by which the recipe's learning rate is multiplied at a step; never 0.

    Args:
        schedule: the recipe's schedule.
        step: training step, counted from 0.
        steps_per_epoch: number of steps in an epoch.
        total_steps: number of steps of the run, at least step + 1.
        history: validation accuracy after each finished epoch.
    """
    warmup_steps = schedule.warmup_epochs * steps_per_epoch
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
    if schedule.name == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    if schedule.name == "steps":
        return warm * schedule.factor ** sum(step >= epoch * steps_per_epoch for epoch in schedule.milestones)
    return warm * schedule.factor ** num_plateaus(history, schedule.patience)


def is_exhausted(schedule: Schedule, history: Sequence[float]) -> bool:
    """Whether a plateau schedule has reached one more plateau than its `drops`."""
    return schedule.name == "plateau" and num_plateaus(history, schedule.patience) > schedule.drops


def num_plateaus(history: Sequence[float], patience: int) -> int:
    """The number of plateaus: `patience` epochs in a row without a new best; each plateau restarts the count."""
    best, waited, plateaus = -math.inf, 0, 0
    for accuracy in history:
        if accuracy > best:
            best, waited = accuracy, 0
        else:
            waited += 1
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
