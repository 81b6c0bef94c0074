"""Shows what replicas in Ray do: they follow the load, end without a lost request, and join a running cluster.

    python -m benchmarks.replicas                          # some four minutes on two idle cores
    python -m benchmarks.replicas --only cluster

Parts, in this order; `--only` selects some of them:

scaling  `zoo serve --engine ray --replicas 1 --max-replicas 3`: seconds from the beginning of a load until two and
         three replicas are ready, and from its end until one is left.
stop     SIGTERM while eight clients without retries ask two replicas: what each request got.
cluster  two replicas in a cluster that `ray start --head` has made in a temporary folder, on the loopback address. The
         answers are checked, and the cluster must still answer when the server has ended.

The digits model is that of `python -m benchmarks.serving`. Prints JSON to stdout; exits with 1 if a request was lost.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.engines import served
from benchmarks.machine import machine
from benchmarks.serving_digits import digits_and_pictures
from benchmarks.serving_load import KINDS, SurePicture, load
from serving.server.keys import read_key
from serving.server.management import Management

PARTS = ("scaling", "stop", "cluster")
CERTIFY = KINDS[1:2]
LOOPBACK = "127.0.0.2"  # Ray replaces 127.0.0.1 by the outside address
LONGEST_WAIT = 240.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet18", help="architecture of the digits model, at 32x32")
    parser.add_argument("--clients", type=int, default=32, help="clients of the part `scaling`")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {sorted(unknown)[0]!r}; known: {', '.join(PARTS)}")
    checkpoint, pictures = digits_and_pictures(options.architecture)
    results: dict[str, Any] = {"options": vars(options), "machine": machine()}
    with tempfile.TemporaryDirectory() as cache:
        given = (checkpoint.path, Path(cache))
        if "scaling" in parts:
            results["scaling"] = scaling(*given, pictures, num_clients=options.clients)
            say(results["scaling"])
        if "stop" in parts:
            results["stop"] = stop(*given, pictures[0])
            say(results["stop"])
        if "cluster" in parts:
            results["cluster"] = cluster(*given, pictures)
            say(results["cluster"])
    print(json.dumps(results, indent=2))
    if any(results[part].get("lost") for part in parts):
        sys.exit("a request was lost")


def scaling(checkpoint: Path, cache: Path, pictures: Sequence[SurePicture], *, num_clients: int) -> dict[str, Any]:
    """Seconds until the replicas have followed the load, up and down."""
    limits = ("--limit", f"max_open_requests={2 * num_clients}")
    words = ("--replicas", "1", "--max-replicas", "3", "--threads", "1", *limits)
    with served("ray", checkpoint, cache, *words) as server:
        management = Management(server.management_url, token=read_key(server.key_file))

        def num_ready() -> int:
            return management.versions()[0].num_ready

        assert num_ready() == 1
        is_over, seen = threading.Event(), []

        def ask() -> None:
            while not is_over.is_set():
                seen.append(load(server.url, list(pictures), clients=num_clients, seconds=2.0, kinds=list(CERTIFY)))

        clients = threading.Thread(target=ask)
        started = time.monotonic()
        clients.start()
        try:
            seconds = {
                f"until_{number}": seconds_until(lambda n=number: num_ready() >= n, started) for number in (2, 3)
            }
        finally:
            is_over.set()
            clients.join()
        ended = time.monotonic()
        seconds["until_1"] = seconds_until(lambda: num_ready() == 1, ended)
    lost = [complaint for each in seen for complaint in each.lost + each.wrong]
    return {"seconds": seconds, "answers": sum(each.answered for each in seen), "lost": lost}


def stop(checkpoint: Path, cache: Path, picture: SurePicture) -> dict[str, Any]:
    """What the requests of eight clients got from a server that was terminated."""
    outcomes: collections.Counter[str] = collections.Counter()
    lost: list[str] = []
    with served("ray", checkpoint, cache, "--replicas", "2", "--threads", "1") as server:

        def ask() -> None:
            with httpx.Client(timeout=120, trust_env=False) as client:
                while True:
                    try:
                        answer = client.post(server.url, files={"data": picture.data}, data={"n": "1000"})
                    except httpx.ConnectError:  # the server has ended
                        return
                    except httpx.HTTPError as error:
                        lost.append(f"{type(error).__name__}: {error}")
                        return
                    outcomes[str(answer.status_code)] += 1
                    if answer.status_code == 503:
                        time.sleep(0.1)

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        seconds_until(lambda: outcomes["200"] >= 16, time.monotonic())
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(LONGEST_WAIT)
        for client in clients:
            client.join(LONGEST_WAIT)
    return {"exit_code": code, "answers": dict(outcomes), "lost": lost}


def cluster(checkpoint: Path, cache: Path, pictures: Sequence[SurePicture]) -> dict[str, Any]:
    """The answers of two replicas in a running cluster."""
    from zoo.host.ray_cluster import require_reachable

    with running_cluster() as address:
        words = ("--ray-address", address, "--replicas", "2", "--threads", "1")
        with served("ray", checkpoint, cache, *words) as server:
            seconds = server.seconds
            seen = load(server.url, list(pictures), clients=8, requests=80)
        require_reachable(address)
    return {"ready_seconds": round(seconds, 1), "answers": seen.answered, "lost": seen.lost + seen.wrong}


@contextmanager
def running_cluster() -> Iterator[str]:
    """The address of a cluster of one node on the loopback address, which `ray start` runs until the block ends."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= {"RAY_worker_niceness": "0"}
    with socket.create_server((LOOPBACK, 0)) as free:
        address = f"{LOOPBACK}:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--head",
            "--block",
            "--include-dashboard=false",
        ]
        command += [f"--node-ip-address={LOOPBACK}", f"--port={address.rpartition(':')[2]}"]
        command += ["--num-cpus=2", f"--temp-dir={folder}"]
        head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            seconds_until(lambda: head.poll() is not None or is_listening(address), time.monotonic())
            yield address
        finally:
            head.terminate()  # ray start --block ends the processes of its node
            head.wait(60)


def is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def seconds_until(condition: Any, started: float) -> float:
    """Seconds since `started` at which the condition held. Exits the program if that takes four minutes."""
    while not condition():
        if time.monotonic() - started > LONGEST_WAIT:
            raise SystemExit(f"it did not happen within {LONGEST_WAIT:.0f} s")
        time.sleep(0.1)
    return round(time.monotonic() - started, 1)


def say(part: dict[str, Any]) -> None:
    print(part, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
