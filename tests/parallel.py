"""Running the suite in several processes: shared folders, tests that stay together, and tests that run alone.

`make test` starts the processes (pytest-xdist). `python -m pytest tests/x.py` runs in one.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
import torch

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if IS_WORKER else own


def made_once(name: str, make: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `name`, which `make` fills in the first process that calls this. Other processes wait for it."""
    folder = shared_folder(tmp_path_factory) / name
    is_made = folder.with_name(f"{name}.made")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # left behind by a process that failed
            folder.mkdir()
            make(folder)
            is_made.touch()
    return folder


@contextmanager
def computing_on(num_threads: int) -> Iterator[None]:
    """Makes torch use `num_threads` threads inside the block, as do ONNX sessions and samplers created inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def two_threads() -> Iterator[None]:
    """Two threads, for tests of order, packing and resuming, which threads could affect; other tests use one thread."""
    with computing_on(2):
        yield


@pytest.fixture(scope="session", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextIO]:
    """A file on which every process holds a shared lock until its last test has ended."""
    with (shared_folder(tmp_path_factory) / "machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock


@pytest.fixture(scope="session")
def alone(machine: TextIO) -> None:
    """Waits until every other process of this test run has ended; tests with this fixture run last, in one process."""
    fcntl.flock(machine, fcntl.LOCK_EX)


def group_of(item: pytest.Item) -> str:
    """The name of the test's group, which runs in one process: `alone`, `served` (the shared server), or its file."""
    fixtures = getattr(item, "fixturenames", ())
    return next((name for name in ("alone", "served") if name in fixtures), item.nodeid.partition("::")[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Assigns the groups and sorts them; long groups start first, so that none runs on its own at the end."""
    if not IS_WORKER:
        return
    groups = {item: group_of(item) for item in items}
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item]))
    items.sort(key=lambda item: (groups[item] == "alone", groups[item] != "served", groups[item] not in slow))
