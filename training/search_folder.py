"""`zoo search`'s folder: Optuna's journal of trials in it, and the lock that keeps a second process out."""

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
from zoo.filesystem.lock import exclusive_lock

JOURNAL, LOCK = "study.journal", "search.lock"


class AskAndTellGridSampler(GridSampler):
    """A grid whose points are asked for one by one. Optuna's own stops `Study.optimize` at the last one, which fails
    where that is not running."""

    def after_trial(self, *_: object) -> None:
        pass


def open_study(output: Path, grid: Grid, request: dict[str, Any]) -> optuna.Study:
    """The study in a folder that is held alone (`alone_in`), or a new one. `request`: JSON values that tell searches
    apart.

    Raises: RecipeError if the folder holds another search.
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
            f"{output} holds another search ({differences}): go on with it as it was begun, or choose another --output"
        )
    return study


def next_trial(study: optuna.Study, *, output: Path) -> Trial | None:
    """The trial that was cut off, else a new one, else None. Raises: CheckpointError if that cannot be written."""
    assert isinstance(study.sampler, AskAndTellGridSampler)
    with writing_below(output):
        cut_off = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if cut_off:
            return Trial(study, cut_off[0]._trial_id)  # no other process can be running it: the folder is held alone
        return None if study.sampler.is_exhausted(study) else study.ask()


@contextmanager
def alone_in(output: Path) -> Iterator[None]:
    """Inside, no other process searches in the folder, which is made if it is not there.

    Raises: RecipeError if it cannot be used; RequestError if another process has it.
    """
    busy = RequestError(
        f"another process searches in {output}: let it end, or give each job a part of the grid and an --output of its "
        "own"
    )
    with ExitStack() as stack:
        with _using(output):
            _require_search_or_nothing(output)
            stack.enter_context(exclusive_lock(output / LOCK, otherwise=busy))
        yield


def _require_search_or_nothing(output: Path) -> None:
    found = {path.name for path in output.iterdir()} - {LOCK} if output.exists() else set()
    if found and JOURNAL not in found:
        raise RecipeError(f"{output} is not empty and holds no search: choose another --output")


@contextmanager
def _using(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecipeError(f"cannot use --output {output}: {error.strerror or error}") from error


@contextmanager
def writing_below(output: Path) -> Iterator[None]:
    """Inside, what cannot be written becomes a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write below {output}: {error.strerror or error}; finished trials are kept, and the same command "
            "goes on"
        ) from error


def _mend(journal: Path) -> None:
    """Drops what a killed process left: an incomplete last line, to which Optuna would append, and its lock, on which
    Optuna would wait half a minute."""
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
