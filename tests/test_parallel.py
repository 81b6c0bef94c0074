"""Two processes that run tests: what is made once, what stays together, and what has the machine to itself."""

import os
import subprocess
import sys
from pathlib import Path

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

@pytest.fixture(scope="session")
def served():
    note("served")
"""
# In the order of collection. Of two processes, one takes the two served files, the other one the second and then the
# first. Without the order and the lock, `test_alone` would run beside `test_long`.
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
from conftest import HERE
def test_one(served, costly): pass
def test_other(served): pass
def test_long(costly):
    assert costly.read_text() == "costly"
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert "alone" not in (HERE / "notes").read_text(), "it must wait for this test's end"
        time.sleep(0.01)
""",
    "test_4_served.py": """
def test_again(served): pass
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
