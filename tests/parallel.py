"""Running the suite in several processes: shared folders, the order of files, and tests that run alone.

`make test` starts the processes (pytest-xdist). `python -m pytest tests/x.py` runs in one.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import pytest

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
    import torch

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
    """Waits until every other process of this test run has ended. Files with tests that use it come last."""
    fcntl.flock(machine, fcntl.LOCK_EX)


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files for the processes, which take one file after another: the longest first, `alone` last."""
    if not IS_WORKER:
        return
    files = {name: _files(items, name) for name in ("alone", "served")}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path in files["alone"], item.path not in files["served"], item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives all files that use the server to one process, which starts it once; the processes share the other files."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "served" if _is_served(config.rootpath / file) else file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@cache
def _is_served(path: Path) -> bool:
    """Whether a function of the file takes the fixture `served`. The process that asks has not imported the file."""
    return re.search(r"^def \w+\([^)]*\bserved\b", path.read_text(), re.MULTILINE) is not None


def _files(items: list[pytest.Item], fixture: str) -> set[Path]:
    return {item.path for item in items if fixture in getattr(item, "fixturenames", ())}
