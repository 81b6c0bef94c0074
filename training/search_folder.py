"""The folder of `zoo search`: Optuna's journal of trials, and the lock that excludes a second process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import GridSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from training.grid import Grid
from zoo.errors import CheckpointError, RecipeError, RequestError
from zoo.host.lock import exclusive_lock

JOURNAL, LOCK = "study.journal", "search.lock"


class AskAndTellGridSampler(GridSampler):
    """A grid sampler for Optuna's ask-and-tell interface.

    Optuna's own grid sampler stops `Study.optimize` after the last point, which raises if `optimize` is not running.
    """

    def after_trial(self, *_: object) -> None:
        pass


def open_study(output: Path, grid: Grid, request: dict[str, Any]) -> optuna.Study:
    """The study in a folder that this process holds (`alone_in`), or a new study.

    `request` contains the JSON values that identify the search.
    Raises: RecipeError if the folder contains another search.
    """
    _mend(output / JOURNAL)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(output / JOURNAL))),
        sampler=AskAndTellGridSampler(grid),
        study_name="grid",
        direction="maximize",
        load_if_exists=True,
    )
    recorded = study.user_attrs.get("request")
    if recorded is None:
        study.set_user_attr("request", request)
    elif recorded != request:
        before, now = dict(_leaves(recorded)), dict(_leaves(request))
        names = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
        differences = "; ".join(f"{path} was {before.get(path)!r}, is {now.get(path)!r}" for path in names)
        raise RecipeError(
            f"{output} contains another search ({differences}): use its settings to resume it, or another --output"
        )
    return study


def next_trial(study: optuna.Study, *, output: Path) -> Trial | None:
    """The interrupted trial, or a new one, or None if none is left. Raises: CheckpointError if it cannot be written."""
    assert isinstance(study.sampler, AskAndTellGridSampler)
    with writing_below(output):
        interrupted = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if interrupted:
            return Trial(study, interrupted[0]._trial_id)  # no other process runs it: this process holds the folder
        return None if study.sampler.is_exhausted(study) else study.ask()


@contextmanager
def alone_in(output: Path) -> Iterator[None]:
    """Excludes other searches from the folder during the block; the folder is created if it is missing.

    Raises: RecipeError if the folder cannot be used; RequestError if another process holds it.
    """
    busy = RequestError(
        f"another process searches in {output}: wait until it ends, or give each job a part of the grid and its own "
        "--output"
    )
    with ExitStack() as stack:
        with _using(output):
            _require_search_or_nothing(output)
            stack.enter_context(exclusive_lock(output / LOCK, otherwise=busy))
        yield


def _require_search_or_nothing(output: Path) -> None:
    names = {path.name for path in output.iterdir()} - {LOCK} if output.exists() else set()
    if names and JOURNAL not in names:
        raise RecipeError(f"{output} is not empty and contains no search: choose another --output")


@contextmanager
def _using(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecipeError(f"cannot use --output {output}: {error.strerror or error}") from error


@contextmanager
def writing_below(output: Path) -> Iterator[None]:
    """Turns an OSError during the block into a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write below {output}: {error.strerror or error}; finished trials are kept, and the same command "
            "resumes the search"
        ) from error


def _mend(journal: Path) -> None:
    """Removes the remains of a killed process: an incomplete last line, to which Optuna would append, and Optuna's
    lock, for which it would wait half a minute."""
    journal.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path, value
