"""The learning rate as a function of how far training has come; no state but the history of validation accuracies."""

import math
from collections.abc import Sequence

from training.recipe import Schedule


def lr_factor(
    schedule: Schedule, *, step: int, steps_per_epoch: int, total_epochs: int, history: Sequence[float]
) -> float:
    """What the recipe's learning rate is multiplied by at a step, counted from 0; never 0.

    `history`: validation accuracy after each finished epoch.
    """
    warmup_steps = schedule.warmup_epochs * steps_per_epoch
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
    if schedule.name == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * step / (total_epochs * steps_per_epoch)))
    if schedule.name == "steps":
        return warm * schedule.factor ** sum(step >= epoch * steps_per_epoch for epoch in schedule.milestones)
    return warm * schedule.factor ** num_plateaus(history, schedule.patience)


def is_exhausted(schedule: Schedule, history: Sequence[float]) -> bool:
    """Whether a plateau schedule has stalled once more than it may drop the rate."""
    return schedule.name == "plateau" and num_plateaus(history, schedule.patience) > schedule.drops


def num_plateaus(history: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no new best; the count of epochs restarts at each stall."""
    best, waited, stalls = -math.inf, 0, 0
    for accuracy in history:
        if accuracy > best:
            best, waited = accuracy, 0
        else:
            waited += 1
        if waited == patience:
            stalls, waited = stalls + 1, 0
    return stalls
