"""What the examples share: `zoo` commands shown as they run, a Hub on this machine, a server while it is asked."""

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
    """Runs one command, shows it with what it prints, and returns its stdout; ends the example if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"$ zoo {' '.join(words)}", flush=True)
    done = subprocess.run([*ZOO, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"zoo {words[0]} ended with exit code {done.returncode}")
    if show:
        print(done.stdout, end="", flush=True)
    return done.stdout


@contextmanager
def loopback_hub(*, cache: Path) -> Iterator[None]:
    """A Hub on this machine, which the commands inside talk to as the user `demo`."""
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
    """The prediction URL of a model that `zoo serve` serves while inside."""
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
