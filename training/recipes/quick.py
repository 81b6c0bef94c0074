"""The recipe `quick`, which trains in minutes on two cores."""

from __future__ import annotations

from dataclasses import replace

from training.objectives import Objective
from training.objectives.consistency import Consistency
from training.objectives.macer import Macer
from training.objectives.simclr import SimClr
from training.objectives.smoothadv import SmoothAdv
from training.objectives.smoothmix import SmoothMix
from training.recipe import Adam, Schedule, Sgd, TrainingRecipe


def quick(objective: Objective) -> TrainingRecipe:
    """The recipe for minutes of training on two cores with small pictures: few epochs, warm-up, clipped gradients.

    A denoiser is trained with Adam, as in Salman et al. 2020. The architecture of its recipe is that of a classifier
    that only takes the place of a trained one, so it is the smallest; a starting point replaces it.
    """
    if objective.trains_denoiser:
        return TrainingRecipe(
            objective=objective,
            architecture="resnet10-quarter",
            epochs=8,
            batch_size=32,
            optimizer=Adam(lr=5e-3),
            schedule=Schedule(name="cosine", warmup_epochs=0.1),
            gradient_clip_norm=10.0,
            validation_share=0.0,
        )
    return TrainingRecipe(
        objective=tuned(objective),
        epochs=8,
        batch_size=32,
        optimizer=Sgd(lr=0.02),
        schedule=Schedule(name="cosine", warmup_epochs=1.0),
        gradient_clip_norm=10.0,
        validation_share=0.1 if objective.learns_classes else 0.0,
    )


def fewer_copies(objective: Objective) -> Objective:
    """The method with at most four noisy copies of each image."""
    return replace(objective, m=4) if isinstance(objective, Macer) else objective


def tuned(objective: Objective) -> Objective:
    """The method with its hyper-parameters adapted to few epochs on small pictures."""
    match objective:
        case Consistency():
            return replace(objective, warmup_epochs=2.0)
        case Macer():
            return fewer_copies(objective)
        case SmoothAdv():
            return replace(objective, warmup_epochs=2)
        case SmoothMix():
            return replace(objective, warmup_epochs=2)
        case SimClr():
            return replace(objective, hidden=128, outputs=64)
        case _:
            return objective
