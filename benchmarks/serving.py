"""Measures a server under load, and the engine alone for comparison, on the loopback address.

    python -m benchmarks.serving                          # about ten minutes on two idle cores, training not counted
    python -m benchmarks.serving --engine asgi --only load,rounds
    python -m benchmarks.serving --seconds 10 --rounds 1 --round-seconds 5 --requests 100 --only load,rounds

Parts, in this order; `--only` selects some of them:

load      64 clients for two minutes: predictions of 100 draws, certificates of 1,000 draws and at a radius, one request
          in ten broken. Every answer is checked against the offline label of its image and against its own counts.
rounds    draws per second behind the server and of the engine alone, in turn, at the same step size and inner batch.
single    one client, predictions of 100 draws, on a connection that stays open.
memory    resident memory of workers and, for TorchServe, of the JVM over 1,000 requests.
startup   seconds until a ResNet-50 with ONNX Runtime is READY: TorchServe with its archive, and `zoo serve`.

The digits model is trained once and kept in runs/serving-benchmark. Prints tables to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.serving_digits import FOLDER, NUM_PICTURES, digits_checkpoint
from benchmarks.serving_load import CERTIFICATION_DRAWS, KINDS, SurePicture, load, sure_pictures
from benchmarks.serving_start import startup
from serving.front.server import FrontServer
from serving.plain_server.server import PlainServer
from serving.protocol import Limits
from serving.server.archive import make_archive
from serving.torchserve import TorchServe
from training.tasks import open_task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.loading.backend import open_backend
from zoo.models.preprocessing import prepare
from zoo.smoothing import (
    BaseClassifier,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)

PARTS = ("load", "rounds", "single", "memory", "startup")
MEMORY_WARM_UP = 200
SINGLE_REQUESTS = 60
MiB = 2**20
Server = TorchServe | FrontServer
"""A server of any engine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("torchserve", "asgi", "ray"), default="torchserve")
    parser.add_argument("--architecture", default="resnet18", help="architecture of the digits model, at 32x32")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120.0, help="duration of the load test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-seconds", type=float, default=20.0)
    parser.add_argument("--requests", type=int, default=1_000, help="requests of the memory measurement")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {sorted(unknown)[0]!r}; known: {', '.join(PARTS)}")
    results: dict[str, Any] = {"options": vars(options), "machine": machine()}
    say(f"{results['machine']['processor']}, load average {results['machine']['load_at_the_start']}")
    if parts != ["startup"]:
        results |= measure_digits(options, parts)
    if "startup" in parts:
        results["startup"] = startup(options.starts)
        say("startup", results["startup"])
    results["machine"]["load_at_the_end"] = os.getloadavg()
    print(json.dumps(results, indent=2))
    if results.get("failed"):
        sys.exit("the clients saw wrong or lost answers, or a worker died")


def measure_digits(options: argparse.Namespace, parts: list[str]) -> dict[str, Any]:
    """The results of all parts that use the digits model."""
    task = open_task("digits", data_dir=FOLDER)
    checkpoint = digits_checkpoint(options.architecture, task)
    base = open_backend(checkpoint)  # its threads spin, as in offline certification
    pictures = sure_pictures(checkpoint, base, task, count=NUM_PICTURES)
    results: dict[str, Any] = {"model": checkpoint.spec.name}
    with tempfile.TemporaryDirectory() as store:
        archive = make_archive(
            checkpoint, Path(store), limits=Limits(max_open_requests=2 * options.clients), device="cpu"
        )
        with server_of(options.engine, archive) as server:
            url = server.prediction_url(archive)
            load(url, pictures, clients=options.clients, requests=2 * options.clients)  # warm-up, not counted
            before = workers(server)
            if "load" in parts:
                results["load"] = load_test(url, pictures, options)
                show_load(results["load"], options)
            if "rounds" in parts:
                results["rounds"] = rounds(server, url, checkpoint, base, pictures, options)
                say("rounds", results["rounds"])
            if "single" in parts:
                results["single"] = load(url, pictures, clients=1, requests=SINGLE_REQUESTS, kinds=[KINDS[0]]).summary()
                say("single", results["single"])
            if "memory" in parts:
                results["memory"] = memory(server, url, pictures, options)
                say("memory", results["memory"])
            results["worker_deaths"] = len(before - workers(server))
    summaries = [results[part] for part in ("load", "single") if part in results]
    results["failed"] = bool(
        results["worker_deaths"] or any(summary["wrong"] or summary["lost"] for summary in summaries)
    )
    return results


def server_of(engine: str, archive: Path) -> Server:
    """A server of the archive, not started yet; Ray is imported only where it serves."""
    if engine == "torchserve":
        return TorchServe([archive])
    if engine == "asgi":
        return PlainServer([archive])
    from serving.ray_server.server import RayServer

    return RayServer([archive])


def load_test(url: str, pictures: list[SurePicture], options: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    seen = load(url, pictures, clients=options.clients, seconds=options.seconds)
    seconds = time.monotonic() - started
    return {"seconds": round(seconds, 1), **seen.summary(), "draws_per_second": round(seen.draws / seconds, 1)}


def rounds(
    server: Server,
    url: str,
    checkpoint: Checkpoint,
    base: BaseClassifier,
    pictures: list[SurePicture],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Draws per second behind the server and of the engine alone, in turn, at the step size that the server chose."""
    served, alone, steps, fills = [], [], [], []
    for _ in range(options.rounds):
        before, started = Steps.of(server), time.monotonic()
        seen = load(url, pictures, clients=options.clients, seconds=options.round_seconds)
        made = Steps.of(server) - before
        served.append(made.draws / (time.monotonic() - started))
        if seen.wrong or seen.lost:
            raise SystemExit(f"wrong or lost answers in a round: {(seen.wrong + seen.lost)[:3]}")
        steps.append(made.capacity)
        fills.append(made.fill / made.number)
        alone.append(engine_alone(base, checkpoint, pictures, step=steps[-1], options=options))
    ratios = [online / offline for online, offline in zip(served, alone, strict=True)]
    return {
        "draws_per_step": steps,
        "fill": [round(fill, 3) for fill in fills],
        "served_draws_per_second": [round(rate, 1) for rate in served],
        "engine_alone_draws_per_second": [round(rate, 1) for rate in alone],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }


@dataclass(frozen=True, slots=True)
class Steps:
    """The worker's metrics of its steps so far: the number of steps, their draws, and the sum of their fill levels."""

    number: float
    draws: float
    fill: float

    @classmethod
    def of(cls, server: Server) -> Steps:
        samples = {
            sample.name: sample.value
            for family in text_string_to_metric_families(server.metrics().decode())
            for sample in family.samples
        }
        return cls(samples["zoo_batch_fill_count"], samples["zoo_draws_total"], samples["zoo_batch_fill_sum"])

    def __sub__(self, before: Steps) -> Steps:
        return Steps(self.number - before.number, self.draws - before.draws, self.fill - before.fill)

    @property
    def capacity(self) -> int:
        """The mean capacity of a step in draws."""
        return round(self.draws / self.fill)


def engine_alone(
    base: BaseClassifier,
    checkpoint: Checkpoint,
    pictures: list[SurePicture],
    *,
    step: int,
    options: argparse.Namespace,
) -> float:
    """Draws per second of the engine alone, with one open certification per client to fill every step."""
    sigma = checkpoint.spec.certified.sigma
    assert sigma is not None
    smoothing = SmoothingSpec(sigma=sigma, n=CERTIFICATION_DRAWS)
    images = [prepare(Image.open(io.BytesIO(picture.data)), checkpoint.spec.preprocessing) for picture in pictures]
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=step)))
    number = draws = 0
    started = time.monotonic()
    while time.monotonic() - started < options.round_seconds:
        while engine.num_open < options.clients:
            key = NoiseKey(root=2, job=number)
            engine.admit(Certification(number, images[number % len(images)], smoothing=smoothing, key=key))
            number += 1
        engine.step()
        draws += step
    return draws / (time.monotonic() - started)


def memory(server: Server, url: str, pictures: list[SurePicture], options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of worker and JVM before, between and after the requests."""
    load(url, pictures, clients=options.clients, requests=MEMORY_WARM_UP)
    rows = [resident(server)]
    for _ in range(4):
        seen = load(url, pictures, clients=options.clients, requests=options.requests // 4)
        rows.append(resident(server))
        if seen.wrong or seen.lost:
            raise SystemExit(f"wrong or lost answers: {(seen.wrong + seen.lost)[:3]}")
    return {
        "requests": options.requests // 4 * 4,
        "MiB": rows,
        "growth_MiB": {name: round(rows[-1][name] - rows[0][name], 1) for name in rows[0]},
    }


def resident(server: Server) -> dict[str, float]:
    """The resident memory of the JVM and of the workers, in MiB."""
    worker_ids = workers(server)
    memory_MiB = {"jvm": 0.0, "worker": 0.0}
    for process in server.processes():
        if process.name() == "java":
            memory_MiB["jvm"] += process.memory_info().rss / MiB
        elif process.pid in worker_ids:
            memory_MiB["worker"] += process.memory_info().rss / MiB
    return {name: round(value, 1) for name, value in memory_MiB.items()}


def workers(server: Server) -> set[int]:
    """The process ids of the workers."""
    with server.management() as management:
        return {worker.pid for version in management.versions() for worker in version.workers}


def show_load(summary: dict[str, Any], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.clients} clients, {summary['seconds']} s")
    for column in ("request", "answers", "p50, ms", "p99, ms"):
        table.add_column(column)
    for name, figures in summary["kinds"].items():
        table.add_row(name, *(str(figures[key]) for key in ("answers", "p50_ms", "p99_ms")))
    say(table)
    say({key: value for key, value in summary.items() if key != "kinds"})


def say(*parts: object) -> None:
    Console(file=sys.stderr, width=110).print(*parts)


if __name__ == "__main__":
    main()
