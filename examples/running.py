"""Shared code of the examples: runs `zoo` commands and shows them, a Hub on this machine, a running server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.loopback_hub import LoopbackHub

ZOO = [sys.executable, "-m", "zoo"]


def say(text: str) -> None:
    """Prints the heading of a step."""
    print(f"\n== {text}", flush=True)


def zoo(*arguments: object, show: bool = True) -> str:
    """Runs and shows one `zoo` command with its output; returns its stdout, and ends the example if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"$ zoo {' '.join(words)}", flush=True)
    process = subprocess.run([*ZOO, *words], stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode != 0:
        sys.exit(f"zoo {words[0]} ended with exit code {process.returncode}")
    if show:
        print(process.stdout, end="", flush=True)
    return process.stdout


@contextmanager
def loopback_hub(*, cache: Path) -> Iterator[None]:
    """Runs a Hub on this machine; commands inside the block use it as the user `demo`."""
    with LoopbackHub(tokens={"hf_demo": "demo"}) as hub:
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": "hf_demo",
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def served(model: Path) -> Iterator[str]:
    """Serves a model with `zoo serve` inside the block; yields its prediction URL."""
    print(f"$ zoo serve {model} --port 0 &", flush=True)
    server = subprocess.Popen([*ZOO, "serve", str(model), "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line.startswith("ready:"):
            sys.exit("zoo serve did not become ready")
        print(line, end="", flush=True)
        yield line.split()[-1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
