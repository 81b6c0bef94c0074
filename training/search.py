"""Grid search with Optuna, whose study hands out and records the grid's points; every trial is a separate run.

The winner has the highest validation accuracy after its last epoch, which is the accuracy of its checkpoint. The search
never reads the test set.
"""

from __future__ import annotations

import functools
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console

from training.distributed import SINGLE_PROCESS
from training.grid import Grid, assignments, require_valid_grid
from training.metric_logger import read_log
from training.recipe import TrainingRecipe, override
from training.run import TrainingRun
from training.search_folder import alone_in, next_trial, open_study, writing_below
from training.tasks import Task
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import DivergenceError, RecipeError
from zoo.host.atomic_write import write_atomically

BEST = "best.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A grid search around a recipe. `output` contains the study and one run folder per trial.

    `train_words` is the `zoo train` command of `recipe` without `--output`; `best.json` extends it to train the winner.
    """

    task: Task
    recipe: TrainingRecipe
    grid: Grid
    seed: int
    output: Path
    train_words: tuple[str, ...]
    parent: Checkpoint | None = None

    def run(self, number: int, point: dict[str, str]) -> TrainingRun:
        """The training run of one trial; all trials share the seed."""
        return TrainingRun(
            task=self.task,
            recipe=override(self.recipe, assignments(point)),
            seed=self.seed,
            output=self.output / f"trial-{number:03d}",
            parent=self.parent,
        )

    def request(self) -> dict[str, Any]:
        """The values that must match for the search to be resumed, as JSON values."""
        identity = self.run(0, {}).identity(SINGLE_PROCESS).as_json()
        request: dict[str, Any] = json.loads(json.dumps(identity | {"grid": dict(self.grid)}))
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The outcome of a trial. A failed trial has an `error` and no accuracy.

    `assignments` are the trial's parameters as `--set` takes them.
    """

    parameters: dict[str, Any]
    assignments: list[str]
    checkpoint: Path
    validation_accuracy: float | None
    epochs: int | None
    error: str | None


def search(plan: Search, *, device: torch.device, console: Console) -> list[TrialResult]:
    """The results of all trials, best first and failed ones last; runs the missing trials and writes `best.json`.

    Raises: RecipeError if the grid is invalid or the folder contains something else; RequestError if another process
    works in the folder; CheckpointError if a file cannot be written. Finished trials are kept in all cases.
    """
    require_valid_grid(plan.grid, plan.recipe)
    with alone_in(plan.output):
        with writing_below(plan.output):
            study = open_study(plan.output, plan.grid, plan.request())
        while (trial := next_trial(study, output=plan.output)) is not None:
            _finish(plan, study, trial, device, console)
        results = _ranked(plan, study)
        if results[0].error is None:
            with writing_below(plan.output):
                _write_best(plan, results[0])
    return results


def _finish(plan: Search, study: optuna.Study, trial: Trial, device: torch.device, console: Console) -> None:
    """Trains one trial to its end and records its outcome."""
    with writing_below(plan.output):
        point = {path: str(trial.suggest_categorical(path, values)) for path, values in plan.grid.items()}
    run = plan.run(trial.number, point)
    console.print(f"{run.output.name}: {', '.join(assignments(point))}", markup=False, highlight=False)
    try:
        train(run, device=device, resume=True, console=console)
    except (DivergenceError, torch.OutOfMemoryError) as error:
        console.print(f"{run.output.name} failed: {error}", markup=False, highlight=False)
        with writing_below(plan.output):
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
        return
    accuracy, epochs = _last_validation(run.output)
    with writing_below(plan.output):
        trial.set_user_attr("epochs", epochs)
        study.tell(trial, accuracy)


def _last_validation(checkpoint: Path) -> tuple[float, int]:
    """The validation accuracy of the checkpoint's weights, and the number of epochs before its measurement.

    Raises: RecipeError if the run had no validation images.
    """
    measured = [line for line in read_log(checkpoint / ".run") if "accuracy_under_noise" in line]
    if not measured:
        raise RecipeError(
            f"{checkpoint} has no validation images to rank by: use more images or a larger validation_share"
        )
    return measured[-1]["accuracy_under_noise"], int(measured[-1]["epochs"])


def _ranked(plan: Search, study: optuna.Study) -> list[TrialResult]:
    """The results, best first; equal ones in the order they ran; failed ones last."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    order = sorted(trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))
    return [_result(plan, trial) for trial in order]


def _result(plan: Search, trial: FrozenTrial) -> TrialResult:
    run = plan.run(trial.number, trial.params)
    values = {path: functools.reduce(getattr, path.split("."), run.recipe) for path in plan.grid}
    return TrialResult(
        parameters=values,
        assignments=assignments(trial.params),
        checkpoint=run.output,
        validation_accuracy=trial.value,
        epochs=trial.user_attrs.get("epochs"),
        error=trial.user_attrs.get("error"),
    )


def _write_best(plan: Search, best: TrialResult) -> None:
    command = [*plan.train_words, *(part for word in best.assignments for part in ("--set", word))]
    content = {
        "checkpoint": str(best.checkpoint),
        "parameters": best.parameters,
        "validation_accuracy": best.validation_accuracy,
        "epochs": best.epochs,
        "recipe": override(plan.recipe, best.assignments).describe(),
        "train_again": shlex.join([*command, "--output", str(plan.output / "best")]),
    }
    write_atomically(plan.output / BEST, json.dumps(content, indent=2) + "\n")
