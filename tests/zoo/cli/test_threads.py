"""The command lets idle threads sleep, unless the user chose otherwise; a library call changes nothing."""

import os
import subprocess
import sys

import pytest

import zoo
from tests.zoo.hub.conftest import save
from zoo.cli._threads import SPIN_COUNT, limit_spinning


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": SPIN_COUNT}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_the_users_own_choice_is_kept(chosen, expected, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(chosen))
    limit_spinning()
    assert os.environ == expected


def test_torchs_openmp_reads_the_setting_when_it_is_loaded():
    inherited = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-m", "zoo", "import", "absent.pt", "--output", "x"]  # imports torch, then refuses
    done = subprocess.run(
        command, env=inherited | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and f"GOMP_SPINCOUNT = '{SPIN_COUNT}'" in done.stderr


def test_a_library_call_does_not_set_it(tmp_path, monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    zoo.smooth(save(tmp_path / "checkpoint").path, n=100, backend="torch")
    assert "GOMP_SPINCOUNT" not in os.environ
