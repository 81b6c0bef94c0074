"""The two-run study and how it is run in a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from training.study.execution import Execution, Outcome, Share
from training.study.folder import StudyFolder
from training.study.plan import Run, plan_runs
from training.study.run import Workplace
from training.study.study_file import Study, read_study

TWO_RUNS = Path(__file__).with_name("two-runs.yaml")


@pytest.fixture(scope="session")
def two_runs() -> Study:
    return read_study(TWO_RUNS)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Does a study's missing runs in this process, quietly."""

    def run(study: Study, folder: StudyFolder, *, share: Share | None = None, runs: list[Run] | None = None) -> Outcome:
        share, runs = share or Share(), plan_runs(study) if runs is None else runs
        place = Workplace(device="cpu", data_dir=tmp_path_factory.getbasetemp(), console=Console(quiet=True))
        own = share.part_of(runs)
        return Execution(study=study.name, runs=runs, own=own, folder=folder, place=place, share=share).run()

    return run


@pytest.fixture(scope="session")
def finished(
    two_runs: Study, start: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyFolder, Outcome]:
    """The study after both its runs."""
    folder = StudyFolder(tmp_path_factory.mktemp("study"))
    return folder, start(two_runs, folder)
