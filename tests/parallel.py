"""Running the suite in several processes: shared folders, the order of files, and tests that run alone.

`make test` starts the processes (pytest-xdist). `python -m pytest tests/x.py` runs in one.
"""

import ast
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import pytest

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
SERVERS = {"served", "served_by_torchserve", "served_by_asgi", "served_by_ray"}
"""The fixtures of tests/serving/conftest.py that start the shared servers."""


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
    """Orders the tests: those of the scopes "served" and "forked", the longest files, the others; `alone` last."""
    if not IS_WORKER:
        return
    alone = {item.path for item in items if _uses(item, {"alone"})}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(
        key=lambda item: (item.path in alone, not _uses(item, SERVERS), not _forks(item.path), item.path not in slow)
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives every test to the process of its scope; the processes share the scopes."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return scope_of(config.rootpath / file, test) or file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def scope_of(path: Path, test: str) -> str | None:
    """The name of what one process makes once for all tests that use it; None for tests that go file by file.

    "served" are the tests of the shared servers, which take long to start. "forked" are the other tests of files that
    fork processes, after ten seconds of imports (tests/processes.py).
    """
    if test.partition("[")[0] in _served_tests(path):
        return "served"
    return "forked" if _forks(path) else None


@cache
def _served_tests(path: Path) -> frozenset[str]:
    """The tests of a file that take one of `SERVERS`, themselves or through fixtures of the file.

    The process that asks has not imported the file.
    """
    text = path.read_text()
    if "served" not in text:
        return frozenset()
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    taken = {function.name: {argument.arg for argument in function.args.args} for function in functions}
    served = SERVERS
    while found := {name for name, fixtures in taken.items() if fixtures & served} - served:
        served = served | found
    return frozenset(served)


@cache
def _forks(path: Path) -> bool:
    """Whether a file starts processes of tests/processes.py."""
    return "\nfrom tests.processes import " in path.read_text()


def _uses(item: pytest.Item, fixtures: set[str]) -> bool:
    return not fixtures.isdisjoint(getattr(item, "fixturenames", ()))
