"""The transfer study's recipes, and the grids that were searched around them."""

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
"""The two rates that robust-models-transfer tried for the full network."""


def paper(objective: Objective) -> TrainingRecipe:
    """From scratch, at one point of `PAPER_GRID`.

    Stated in appendix A: SGD, the grid, and that the rate is multiplied by 0.1 twice when validation has not improved
    for 30 epochs before training ends. Not stated, and so our choice: the point, momentum 0.9, the share of images that
    is held out for validation, and 300 epochs as the most.
    """
    return TrainingRecipe(
        objective=objective,
        epochs=300,
        batch_size=64,
        optimizer=Sgd(lr=0.01, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(name="plateau", patience=30, factor=0.1, drops=2),
    )


def paper_finetune(objective: Objective) -> TrainingRecipe:
    """From a starting point, which `--init` gives.

    The study states no hyper-parameters of its fine-tuning. These are those of robust-models-transfer (the code of
    Salman et al. 2020), whose weights it starts from: SGD with momentum 0.9, weight decay 5e-4, batches of 64,
    150 epochs, the rate multiplied by 0.1 every 50; they tried rates 0.01 and 0.001 (`FINETUNE_GRID`) and took 0.01
    with a frozen body. 0.01 as the default is our choice, and so is the share held out for validation: they had none.
    """
    return TrainingRecipe(
        objective=objective,
        epochs=150,
        batch_size=64,
        optimizer=Sgd(lr=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=Schedule(name="steps", milestones=(50, 100)),
    )
