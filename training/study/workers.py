"""The runs of a study on workers: each run is a piece of work that keeps its files in the study's folder.

All workers must see the folder and the data under the same paths. A run whose worker ended is resumed by another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from training.evaluation.pieces import Workers
from training.study.execution import Execution, Outcome, Shard
from training.study.folder import StudyFolder
from training.study.plan import Run
from training.study.run import RunEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """What all runs have in common; the paths are relative to `working_directory`."""

    name: str
    runs: Sequence[Run]
    folder: StudyFolder
    shard: Shard
    device: str
    data_dir: Path
    working_directory: str


def execute_on(workers: Workers, execution: Execution) -> Outcome:
    """Executes the missing runs, a run per task, as soon as their starting points exist; returns the outcome.

    A run that another process holds is left out.
    Raises: as `Execution.run` does; ZooError if a run's workers ended too often.
    """
    execution.require_same_study()
    given: set[str] = set()

    def next_run() -> Run | None:
        ready = (run for run in execution.ready() if run.id not in given)
        run = None if execution.is_time_up() else next(ready, None)
        if run is not None:
            given.add(run.id)
            execution.report(f"{run.id} ...")
        return run

    study = _Study(
        name=execution.study,
        runs=execution.runs,
        folder=execution.folder,
        shard=Shard(retries_failed=execution.shard.retries_failed),
        device=execution.environment.torch_device.type,
        data_dir=execution.environment.data_dir,
        working_directory=os.getcwd(),  # noqa: PTH109 # a string, as chdir takes it
    )
    for outcome in workers.results(_enter, study, _execute, next_run):
        execution.add(outcome)
    return execution.outcome()


def _enter(study: _Study) -> _Study:
    os.chdir(study.working_directory)
    return study


def _execute(study: _Study, run: Run) -> Outcome:
    environment = RunEnvironment(device=study.device, data_dir=study.data_dir, console=Console(quiet=True))
    return Execution(
        study=study.name, runs=study.runs, own=[run], folder=study.folder, environment=environment, shard=study.shard
    ).run()
