"""Measures small steps on an idle machine and beside busy processes, by how OpenMP's idle threads wait.

    python -m benchmarks.spinning
    python -m benchmarks.spinning --busy 2 --rounds 5 --steps 40

The steps are a training step and a forward pass of a small network in PyTorch. The settings are libgomp's default, the
one that the command `zoo` makes (zoo/cli/_threads.py), other numbers of turns, and OMP_WAIT_POLICY=passive. libgomp
reads them once, so each setting has a process of its own, which measures first on the idle machine and then beside
the busy processes. The settings take turns within a round. A figure is the median over rounds of a process's median
step. The machine must be otherwise idle.

Prints each measurement and a table to stderr, and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.machine import machine
from zoo.cli._threads import SPIN_COUNT
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "libgomp's default": {},
    f"GOMP_SPINCOUNT={SPIN_COUNT} (zoo)": {"GOMP_SPINCOUNT": SPIN_COUNT},
    **{f"GOMP_SPINCOUNT={turns}": {"GOMP_SPINCOUNT": turns} for turns in ("1000", "10000")},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
}
STEPS = ("training step", "forward pass")
Measurement = dict[str, dict[str, float]]
"""Seconds, by `idle` or `busy` and by step."""
NUM_CLASSES, WARM_UP = 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=2, help="busy processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="measured steps per process")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--architecture", default="resnet10-quarter")
    parser.add_argument("--measure", action="store_true", help="measure in this process; for the benchmark itself")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments)))
        return
    times: dict[str, list[Measurement]] = {}
    for _ in range(arguments.rounds):
        for name, setting in SETTINGS.items():
            times.setdefault(name, []).append(measured(setting))
            print(name, times[name][-1], file=sys.stderr, flush=True)
    results = [summary(name, step, times) for step in STEPS for name in SETTINGS]
    print_table(results, arguments.busy)
    print(json.dumps({**vars(arguments), **machine(), "results": results}, indent=2))


def measure(arguments: argparse.Namespace) -> Measurement:
    """The median seconds of each kind of step in this process."""
    torch.manual_seed(0)
    shape = (arguments.batch_size, 3, arguments.size, arguments.size)
    preprocessing = Preprocessing(resize=arguments.size, crop=arguments.size)
    network = build_network(arguments.architecture, num_classes=NUM_CLASSES, preprocessing=preprocessing)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    x_BCHW, labels_B = torch.rand(shape), torch.randint(NUM_CLASSES, (arguments.batch_size,))

    def train() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x_BCHW + 0.5 * torch.randn_like(x_BCHW)), labels_B).backward()
        optimizer.step()

    def classify() -> None:
        with torch.inference_mode():
            network(x_BCHW + 0.5 * torch.randn_like(x_BCHW))

    measurement: Measurement = {}
    for name, num_busy in (("idle", 0), ("busy", arguments.busy)):
        with busy_processes(num_busy):
            measurement[name] = {
                step: median_time(run, arguments.steps) for step, run in zip(STEPS, (train, classify), strict=True)
            }
    return measurement


def median_time(run: Callable[[], None], num_steps: int) -> float:
    times = []
    for _ in range(WARM_UP + num_steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def measured(setting: Mapping[str, str]) -> Measurement:
    """The seconds that a new process measures under the setting."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    words = [sys.executable, "-m", "benchmarks.spinning", *sys.argv[1:], "--measure"]
    done = subprocess.run(words, env=environment | dict(setting), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many other processes, each of which computes on one core without a pause."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def summary(name: str, step: str, times: Mapping[str, list[Measurement]]) -> dict[str, Any]:
    idle, busy = ([measurement[load][step] for measurement in times[name]] for load in ("idle", "busy"))
    return {
        "step": step,
        "setting": name,
        "idle_ms": 1000 * statistics.median(idle),
        "busy_ms": 1000 * statistics.median(busy),
        "busy_range_ms": [1000 * min(busy), 1000 * max(busy)],
        "ratio": statistics.median(busy) / statistics.median(idle),
    }


def print_table(results: list[dict[str, Any]], num_busy: int) -> None:
    table = Table("step", "setting", "idle, ms", f"beside {num_busy} busy processes, ms", "ratio")
    for row in results:
        cells = (f"{row['idle_ms']:.1f}", f"{row['busy_ms']:.1f}", f"{row['ratio']:.1f}")
        table.add_row(row["step"], row["setting"], *cells)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    main()
