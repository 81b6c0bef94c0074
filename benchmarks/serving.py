"""The server under load, beside the engine alone, with the real TorchServe on the loopback address.

    python -m benchmarks.serving                          # about ten minutes on two idle cores, training not counted
    python -m benchmarks.serving --seconds 10 --rounds 1 --round-seconds 5 --requests 100 --only load,rounds

Parts, in this order, each left out unless `--only` names it:

load      64 clients for two minutes: predictions of 100 draws, certificates of 1,000 draws and at a radius, one request
          in ten broken. Every answer is checked against the offline label of its image and against its own counts.
rounds    draws per second of the engine alone and behind the server, in turn, at the same step and inner batch.
single    one client, predictions of 100 draws, on a connection that it keeps.
memory    resident memory of worker and JVM over 1,000 requests.
startup   seconds until a ResNet-50 through ONNX Runtime is READY: TorchServe with its archive, and `zoo serve`.

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

import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.serving_load import CERTIFICATION_DRAWS, KINDS, SurePicture, load, sure_pictures
from benchmarks.serving_start import startup
from serving.protocol import Limits
from serving.server import TorchServe
from serving.server.archive import make_archive
from training.objectives.consistency import Consistency
from training.recipe import override
from training.recipes import quick
from training.run import TrainingRun
from training.tasks import Task, open_task
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
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

FOLDER = Path("runs/serving-benchmark")
PARTS = ("load", "rounds", "single", "memory", "startup")
NUM_PICTURES = 24
MEMORY_WARM_UP = 200
SINGLE_REQUESTS = 60
MiB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet18", help="of the digits model, at 32x32")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-seconds", type=float, default=20.0)
    parser.add_argument("--requests", type=int, default=1_000, help="of the measurement of memory")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {sorted(unknown)[0]!r}; known: {', '.join(PARTS)}")
    found: dict[str, Any] = {"options": vars(options), "machine": machine()}
    say(f"{found['machine']['processor']}, load average {found['machine']['load_at_the_start']}")
    if parts != ["startup"]:
        found |= measure_digits(options, parts)
    if "startup" in parts:
        found["startup"] = startup(options.starts)
        say("startup", found["startup"])
    found["machine"]["load_at_the_end"] = os.getloadavg()
    print(json.dumps(found, indent=2))
    if found.get("failed"):
        sys.exit("there were wrong or lost answers, or a worker died")


def measure_digits(options: argparse.Namespace, parts: list[str]) -> dict[str, Any]:
    """All parts that ask the digits model."""
    task = open_task("digits", data_dir=FOLDER)
    checkpoint = digits_checkpoint(options.architecture, task)
    base = open_backend(checkpoint)  # it spins, as in offline certification
    pictures = sure_pictures(checkpoint, base, task, count=NUM_PICTURES)
    found: dict[str, Any] = {"model": checkpoint.spec.name}
    with tempfile.TemporaryDirectory() as store:
        archive = make_archive(
            checkpoint, Path(store), limits=Limits(max_open_requests=2 * options.clients), device="cpu"
        )
        with TorchServe([archive]) as server:
            url = server.prediction_url(archive)
            load(url, pictures, clients=options.clients, requests=2 * options.clients)  # warmed up, not counted
            before = workers(server)
            if "load" in parts:
                found["load"] = load_test(url, pictures, options)
                show_load(found["load"], options)
            if "rounds" in parts:
                found["rounds"] = rounds(server, url, checkpoint, base, pictures, options)
                say("rounds", found["rounds"])
            if "single" in parts:
                found["single"] = load(url, pictures, clients=1, requests=SINGLE_REQUESTS, kinds=[KINDS[0]]).summary()
                say("single", found["single"])
            if "memory" in parts:
                found["memory"] = memory(server, url, pictures, options)
                say("memory", found["memory"])
            found["worker_deaths"] = len(before - workers(server))
    seen = [found[part] for part in ("load", "single") if part in found]
    found["failed"] = bool(found["worker_deaths"] or any(each["wrong"] or each["lost"] for each in seen))
    return found


def digits_checkpoint(architecture: str, task: Task) -> Checkpoint:
    """The small digits model, trained by the quick recipe unless an earlier call has."""
    folder = FOLDER / architecture
    if not (folder / "manifest.json").exists():
        recipe = override(quick(Consistency()), [f"architecture={architecture}"])
        run = TrainingRun(task=task, recipe=recipe, seed=0, output=folder)
        train(run, device=torch.device("cpu"), resume=folder.exists(), console=Console(stderr=True))
    return open_checkpoint(folder)


def load_test(url: str, pictures: list[SurePicture], options: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    seen = load(url, pictures, clients=options.clients, seconds=options.seconds)
    seconds = time.monotonic() - started
    return {"seconds": round(seconds, 1), **seen.summary(), "draws_per_second": round(seen.draws / seconds, 1)}


def rounds(
    server: TorchServe,
    url: str,
    checkpoint: Checkpoint,
    base: BaseClassifier,
    pictures: list[SurePicture],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Draws per second behind the server and of the engine alone, in turn, at the step that the server has chosen."""
    served, alone, steps, fills = [], [], [], []
    for _ in range(options.rounds):
        before, started = Steps.of(server), time.monotonic()
        seen = load(url, pictures, clients=options.clients, seconds=options.round_seconds)
        made = Steps.of(server) - before
        served.append(made.draws / (time.monotonic() - started))
        if seen.wrong or seen.lost:
            raise SystemExit(f"a round had wrong or lost answers: {(seen.wrong + seen.lost)[:3]}")
        steps.append(made.capacity)
        fills.append(made.fill / made.number)
        alone.append(engine_alone(base, checkpoint, pictures, step=steps[-1], options=options))
    ratios = [online / offline for online, offline in zip(served, alone, strict=True)]
    return {
        "draws_per_step": steps,
        "fill": [round(each, 3) for each in fills],
        "served_draws_per_second": [round(each, 1) for each in served],
        "engine_alone_draws_per_second": [round(each, 1) for each in alone],
        "ratios": [round(each, 3) for each in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }


@dataclass(frozen=True, slots=True)
class Steps:
    """What the worker's metrics say of its steps until a moment: their number, their draws, and how full they were."""

    number: float
    draws: float
    fill: float

    @classmethod
    def of(cls, server: TorchServe) -> Steps:
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
        """Draws that a step had room for; where that changed, a mean."""
        return round(self.draws / self.fill)


def engine_alone(
    base: BaseClassifier,
    checkpoint: Checkpoint,
    pictures: list[SurePicture],
    *,
    step: int,
    options: argparse.Namespace,
) -> float:
    """Draws per second of the engine with a certification open for each client, so that no step is short."""
    sigma = checkpoint.spec.certified.sigma
    assert sigma is not None
    smoothing = SmoothingSpec(sigma=sigma, n=CERTIFICATION_DRAWS)
    images = [prepare(Image.open(io.BytesIO(each.data)), checkpoint.spec.preprocessing) for each in pictures]
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


def memory(server: TorchServe, url: str, pictures: list[SurePicture], options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of worker and JVM before, in the middle of and after the requests of the load."""
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


def resident(server: TorchServe) -> dict[str, float]:
    """MiB of the JVM and of the workers."""
    worker_ids = workers(server)
    found = {"jvm": 0.0, "worker": 0.0}
    for process in server.processes():
        if process.name() == "java":
            found["jvm"] += process.memory_info().rss / MiB
        elif process.pid in worker_ids:
            found["worker"] += process.memory_info().rss / MiB
    return {name: round(value, 1) for name, value in found.items()}


def workers(server: TorchServe) -> set[int]:
    """Process ids of the workers."""
    return {
        process.pid
        for process in server.processes()
        if any("model_service_worker" in word for word in process.cmdline())
    }


def show_load(load_found: dict[str, Any], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.clients} clients, {load_found['seconds']} s")
    for column in ("request", "answers", "p50, ms", "p99, ms"):
        table.add_column(column)
    for name, each in load_found["kinds"].items():
        table.add_row(name, *(str(each[key]) for key in ("answers", "p50_ms", "p99_ms")))
    say(table)
    say({key: value for key, value in load_found.items() if key != "kinds"})


def say(*what: object) -> None:
    Console(file=sys.stderr, width=110).print(*what)


if __name__ == "__main__":
    main()
