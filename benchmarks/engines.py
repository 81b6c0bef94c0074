"""Compares the engines of `zoo serve`: seconds until READY, draws per second under one load, and resident memory.

    python -m benchmarks.engines                                  # about six minutes on two idle cores
    python -m benchmarks.engines --engines asgi,ray --rounds 1 --seconds 10 --starts 1

Each engine serves the digits model of `python -m benchmarks.serving` with one worker, as a user starts it. The engines
take turns: in each round, each is started and gets the same load from the same clients, whose answers are checked.
Draws are those of the server's metrics. Memory is resident, after the load, in MiB: the front process, TorchServe's
JVM, the worker, and all other processes of the server (those that decode images, and Ray's own).

Prints a table to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.serving import MiB
from benchmarks.serving_digits import digits_and_pictures
from benchmarks.serving_load import SurePicture, load

ENGINES = ("torchserve", "asgi", "ray")
WORKER_WORDS = ("model_service_worker", "serving.plain_server.worker", "ray::Replica")
ADDRESSES = re.compile(r"^/live, /ready, /metrics: (?P<metrics>\S+); management: (?P<management>\S+)$", re.MULTILINE)
KEY_FILE = re.compile(r"^tokens: (?P<path>.+?);", re.MULTILINE)
Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default=",".join(ENGINES), help="engines, separated by commas")
    parser.add_argument("--architecture", default="resnet18", help="architecture of the digits model, at 32x32")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of the load in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    engines = options.engines.split(",")
    if unknown := set(engines) - set(ENGINES):
        parser.error(f"unknown engine {sorted(unknown)[0]!r}; known: {', '.join(ENGINES)}")
    checkpoint, pictures = digits_and_pictures(options.architecture)
    results = {"options": vars(options), "machine": machine(), "model": checkpoint.spec.name}
    with tempfile.TemporaryDirectory() as cache:
        for engine in engines:  # the first start exports the network
            with served(engine, checkpoint.path, Path(cache)):
                pass
        rows: dict[str, list[Row]] = {engine: [] for engine in engines}
        for _ in range(options.rounds):
            for engine in engines:
                rows[engine].append(measured(engine, checkpoint.path, Path(cache), pictures, options))
                say(engine, rows[engine][-1])
    results["rounds"] = rows
    results["medians"] = {engine: medians(of_engine) for engine, of_engine in rows.items()}
    show(results["medians"], options)
    results["machine"]["load_at_the_end"] = os.getloadavg()
    print(json.dumps(results, indent=2))


@dataclass(frozen=True, slots=True)
class Served:
    """A running `zoo serve`: its process, the seconds it took to be ready, and its addresses."""

    process: subprocess.Popen[str]
    seconds: float
    url: str
    metrics_url: str
    management_url: str
    key_file: Path

    def draws(self) -> float:
        """The draws that the server has made so far, from its metrics."""
        text = httpx.get(f"{self.metrics_url}/metrics", timeout=60).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "zoo_draws_total"
        )

    def resident(self) -> Row:
        """The resident memory of the server's processes in MiB, by their kind."""
        memory = dict.fromkeys(("front_MiB", "java_MiB", "worker_MiB", "others_MiB"), 0.0)
        front = psutil.Process(self.process.pid)
        memory["front_MiB"] = front.memory_info().rss / MiB
        for child in front.children(recursive=True):
            try:
                words, size = " ".join(child.cmdline()), child.memory_info().rss / MiB
                kind = "java" if child.name() == "java" else "others"
            except psutil.NoSuchProcess:
                continue
            if any(word in words for word in WORKER_WORDS):
                kind = "worker"
            memory[f"{kind}_MiB"] += size
        return memory


@contextmanager
def served(engine: str, checkpoint: Path, cache: Path, *words: str) -> Iterator[Served]:
    """A server of the engine, as `zoo serve` starts it with further options. It ends with the block."""
    command = [sys.executable, "-m", "zoo", "serve", str(checkpoint), "--engine", engine, "--device", "cpu"]
    command += ["--port", "0", *words]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ZOO_CACHE_DIR": str(cache)},
    )
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reading.start()
    try:
        ready = process.stdout.readline()
        seconds = time.monotonic() - started
        if not ready.startswith("ready"):
            process.wait(60)
            reading.join(60)
            raise SystemExit(f"zoo serve --engine {engine} did not become ready: {''.join(lines)}")
        while (key_file := KEY_FILE.search("".join(lines))) is None:  # the last of the lines
            time.sleep(0.01)
        addresses = ADDRESSES.search("".join(lines))
        assert addresses is not None
        yield Served(
            process=process,
            seconds=seconds,
            url=ready.split()[-1],
            metrics_url=addresses["metrics"],
            management_url=addresses["management"],
            key_file=Path(key_file["path"]),
        )
    finally:
        process.terminate()
        process.wait(timeout=120)


def measured(
    engine: str, checkpoint: Path, cache: Path, pictures: Sequence[SurePicture], options: argparse.Namespace
) -> Row:
    """The figures of one start of an engine under load."""
    limits = ("--limit", f"max_open_requests={2 * options.clients}")
    with served(engine, checkpoint, cache, *limits) as server:
        load(server.url, list(pictures), clients=options.clients, requests=2 * options.clients)  # not counted
        before, started = server.draws(), time.monotonic()
        seen = load(server.url, list(pictures), clients=options.clients, seconds=options.seconds)
        draws = (server.draws() - before) / (time.monotonic() - started)
        if seen.wrong or seen.lost:
            raise SystemExit(f"wrong or lost answers of {engine}: {(seen.wrong + seen.lost)[:3]}")
        row = {"ready_seconds": server.seconds, "draws_per_second": draws, "answers": seen.answered}
        return {name: round(value, 1) for name, value in {**row, **server.resident()}.items()}


def medians(rows: Sequence[Row]) -> Row:
    return {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}


def show(rows: dict[str, Row], options: argparse.Namespace) -> None:
    table = Table(title=f"medians of {options.rounds} rounds: {options.clients} clients for {options.seconds:g} s")
    table.add_column("")
    for engine in rows:
        table.add_column(engine)
    for name in next(iter(rows.values())):
        table.add_row(name, *(f"{row[name]:,.1f}" for row in rows.values()))
    say(table)


def say(*parts: object) -> None:
    Console(file=sys.stderr, width=110).print(*parts)


if __name__ == "__main__":
    main()
