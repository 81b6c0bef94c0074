"""One lock file lets one process in at a time, and no process that ended keeps another out."""

import subprocess
import sys

import pytest

from zoo.host.lock import exclusive_lock

BUSY = RuntimeError("busy")
COUNTS = """
import sys
from pathlib import Path
from zoo.host.lock import exclusive_lock

folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    with exclusive_lock(folder / "lock", otherwise=RuntimeError("busy"), wait=60):
        count = int((folder / "count").read_text())
        (folder / "count").write_text(str(count + 1))
"""
HOLDS = """
import sys
from pathlib import Path
from zoo.host.lock import exclusive_lock

with exclusive_lock(Path(sys.argv[1]), otherwise=RuntimeError("busy")):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def started(program, argument):
    """A process that is ready, and goes on when it is sent a line."""
    words = [sys.executable, "-c", program, str(argument)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_count_in_one_file_lose_no_count(tmp_path):
    (tmp_path / "count").write_text("0")
    processes = [started(COUNTS, tmp_path) for _ in range(3)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert (tmp_path / "count").read_text() == "300"
    assert not (tmp_path / "lock").exists()


def test_a_held_lock_is_refused_with_the_callers_own_error_and_free_after_a_kill(tmp_path):
    holder = started(HOLDS, tmp_path / "lock")
    with pytest.raises(RuntimeError) as refused, exclusive_lock(tmp_path / "lock", otherwise=BUSY):
        raise AssertionError("it must not be entered")
    assert refused.value is BUSY and (tmp_path / "lock").exists()
    holder.kill()
    holder.communicate()
    assert (tmp_path / "lock").exists()
    with exclusive_lock(tmp_path / "lock", otherwise=BUSY):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_lock_is_released_by_an_error_and_its_folder_is_made(tmp_path):
    path = tmp_path / "below" / "lock"
    with pytest.raises(ZeroDivisionError), exclusive_lock(path, otherwise=BUSY):
        raise ZeroDivisionError
    with exclusive_lock(path, otherwise=BUSY), pytest.raises(RuntimeError, match="busy"):  # noqa: SIM117
        with exclusive_lock(path, otherwise=BUSY, wait=0.05):
            raise AssertionError("it must not be entered")


def test_a_lock_file_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), exclusive_lock(tmp_path / "file" / "lock", otherwise=BUSY):
        raise AssertionError("it must not be entered")
