"""Two processes that run tests: what is made once, what stays together, and what has the machine to itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel import scope_of

CONFTEST = """
from pathlib import Path
import pytest
from tests.parallel import alone, machine, made_once, pytest_collection_modifyitems, pytest_xdist_make_scheduler

HERE = Path(__file__).parent

def note(name):
    with (HERE / "notes").open("a") as file:
        file.write(f"{name}\\n")

@pytest.fixture(scope="session")
def costly(tmp_path_factory):
    def make(folder):
        note("made")
        (folder / "content").write_text("costly")
    return made_once("costly", make, tmp_path_factory) / "content"

STARTED = []

@pytest.fixture(scope="session")
def served():
    STARTED.append("server")
    note("served")
"""
# In the order of collection. Of two processes, one takes the served tests of two files and then the first file; the
# other one takes the second file and `test_long`. Without the order and the lock, `test_alone` would run beside it.
FILES = {
    "test_1_alone.py": """
from conftest import note
def test_alone(alone):
    note("alone")
""",
    "test_2_short.py": """
def test_short(costly):
    assert costly.read_text() == "costly"
""",
    "test_3_served.py": """
import time
from conftest import HERE, STARTED
def test_one(served, costly): pass
def test_other(served): pass
def test_long(costly):
    assert costly.read_text() == "costly" and not STARTED
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert "alone" not in (HERE / "notes").read_text(), "it must wait for this test's end"
        time.sleep(0.01)
""",
    "test_4_served.py": """
import pytest
@pytest.fixture
def url(served): pass
def test_again(url): pass
""",
}


def run_tests(folder: Path, *words: str) -> tuple[str, list[str]]:
    """What pytest printed, and the notes of the tests, for the files above in this folder."""
    for name, text in {"conftest.py": CONFTEST, **FILES}.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --dist loadfile --no-loadscope-reorder")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**outer, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "xdist.plugin", "--basetemp", str(folder / "temporary"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, (folder / "notes").read_text().split()


def test_two_processes_make_what_is_shared_once_and_the_test_that_runs_alone_comes_last(tmp_path):
    printed, notes = run_tests(tmp_path, "-n", "2")
    assert "6 passed" in printed and "2 workers" in printed
    assert sorted(notes) == ["alone", "made", "served"] and notes[-1] == "alone"


def test_one_process_runs_the_same_tests_in_the_order_of_the_files(tmp_path):
    printed, notes = run_tests(tmp_path, "--deselect", "test_3_served.py::test_long")
    assert "5 passed" in printed and notes == ["alone", "made", "served"]


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("def test_it(served_by_asgi, tmp_path): pass", "served"),
        ("def url(served): pass\ndef first(url): pass\ndef test_it(first): pass", "served"),
        ("def test_other(served): pass\ndef test_it(served_archive): pass", None),
        ("import os\nfrom tests.processes import ZooProcess\ndef test_it(): pass", "forked"),
        ("import os\nfrom tests.processes import ZooProcess\ndef test_it(served): pass", "served"),
        ("def test_it(tmp_path): pass", None),
    ],
)
def test_what_is_costly_is_made_by_one_process(text, scope, tmp_path):
    (tmp_path / "test_file.py").write_text(text)
    assert scope_of(tmp_path / "test_file.py", "test_it[torchserve-1]") == scope
