"""A short training run, for the tests that interrupt and resume it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parallel import computing_on, made_once
from zoo.cli.app import main

EPOCHS = 8  # of six steps: 180 of 200 images, 32 per step


@dataclass(frozen=True)
class ShortRun:
    """The words of a `zoo train` command without its output folder, and the checkpoint of an uninterrupted run."""

    words: tuple[str, ...]
    checkpoint: Path


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """Eight epochs on twenty digits per class."""
    words = ("train", "--task", "digits", "--objective", "consistency", "--architecture", "resnet10-quarter")
    words += ("--limit-per-class", "20", "--set", f"epochs={EPOCHS}", "--device", "cpu", "--output")

    def make(folder: Path) -> None:
        with computing_on(num_threads=1), pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["zoo", *words, str(folder / "checkpoint")])
            main()
        assert not ended.value.code

    return ShortRun(words, made_once("short_run", make, tmp_path_factory) / "checkpoint")
