"""Runs `zoo` commands for the benchmarks that train, so that a killed benchmark resumes where it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from zoo.results.log import CertificationRow, read_log


def zoo(*words: object) -> str:
    """The stdout of a command; prints the command to stderr and ends the script if the command fails."""
    command = [str(word) for word in words]
    print(f"$ zoo {' '.join(command)}", file=sys.stderr, flush=True)
    process = subprocess.run([sys.executable, "-m", "zoo", *command], stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode != 0:
        sys.exit(f"zoo {command[0]} ended with exit code {process.returncode}")
    return process.stdout


def train(output: Path, *words: object) -> None:
    """Runs `zoo train` unless it has ended before; what it prints as JSON is kept next to the checkpoint."""
    report = output.parent / f"{output.name}.train.json"
    if not report.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        resume = ["--resume"] if output.exists() else []
        report.write_text(zoo("train", *words, "--output", output, *resume, "--json"))


def certify(checkpoint: Path, *words: object) -> list[CertificationRow]:
    """The rows of the checkpoint's certification; the log is kept next to the checkpoint."""
    log = checkpoint.with_name(f"{checkpoint.name}.tsv")
    zoo("certify", checkpoint, *words, "--output", log)
    return read_log(log)
