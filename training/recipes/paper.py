"""The transfer study's recipes, and the grids that the study searched around them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from training.objectives import Objective
from training.recipe import Schedule, Sgd, TrainingRecipe

PAPER_GRID: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "optimizer.lr": (0.1, 0.01, 0.05, 0.001),
        "batch_size": (256, 128, 64, 32),
        "optimizer.weight_decay": (1e-4, 1e-3, 1e-2),
    }
)
"""The study's 48 points for training from scratch (appendix A, "Training")."""

FINETUNE_GRID: Mapping[str, tuple[float, ...]] = MappingProxyType({"optimizer.lr": (0.01, 0.001)})
"""The two learning rates that robust-models-transfer tried for the full network."""


def paper(objective: Objective) -> TrainingRecipe:
    """The recipe for training from scratch, at one point of `PAPER_GRID`.

    Appendix A states SGD, the grid and the schedule: the rate is multiplied by 0.1 when validation has not improved for
    30 epochs, twice before training ends. The study does not state the point, momentum 0.9, the share of images that is
    held out for validation, or the maximum of 300 epochs; these are our choice.
    """
    return TrainingRecipe(
        objective=objective,
        epochs=300,
        batch_size=64,
        optimizer=Sgd(lr=0.01, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(name="plateau", patience=30, factor=0.1, drops=2),
    )


def paper_finetune(objective: Objective) -> TrainingRecipe:
    """The recipe for fine-tuning a starting point, which `--init` gives.

    The study does not state the hyper-parameters of its fine-tuning. The recipe uses those of robust-models-transfer
    (the code of Salman et al. 2020), whose weights the study starts from: SGD with momentum 0.9, weight decay 5e-4,
    batches of 64, 150 epochs, the rate multiplied by 0.1 every 50 epochs. Salman et al. tried the rates 0.01 and 0.001
    (`FINETUNE_GRID`) and used 0.01 with a frozen body; they held out no validation images. The default rate of 0.01 and
    the validation share are our choice.
    """
    return TrainingRecipe(
        objective=objective,
        epochs=150,
        batch_size=64,
        optimizer=Sgd(lr=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=Schedule(name="steps", milestones=(50, 100)),
    )
