"""The two-run study and how it is run in a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from training.study.execution import Execution, Outcome, Shard
from training.study.folder import StudyFolder
from training.study.plan import Run, plan_runs
from training.study.run import RunEnvironment
from training.study.study_file import Study, read_study

TWO_RUNS = Path(__file__).with_name("two-runs.yaml")


@pytest.fixture(scope="session")
def two_runs() -> Study:
    return read_study(TWO_RUNS)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Does a study's missing runs in this process, quietly."""

    def run(study: Study, folder: StudyFolder, *, shard: Shard | None = None, runs: list[Run] | None = None) -> Outcome:
        shard, runs = shard or Shard(), plan_runs(study) if runs is None else runs
        environment = RunEnvironment(device="cpu", data_dir=tmp_path_factory.getbasetemp(), console=Console(quiet=True))
        own = shard.runs_of(runs)
        return Execution(
            study=study.name, runs=runs, own=own, folder=folder, environment=environment, shard=shard
        ).run()

    return run


@pytest.fixture(scope="session")
def finished(
    two_runs: Study, start: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyFolder, Outcome]:
    """The study after both its runs."""
    folder = StudyFolder(tmp_path_factory.mktemp("study"))
    return folder, start(two_runs, folder)
