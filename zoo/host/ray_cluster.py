"""A Ray cluster for the duration of a block: one on this machine, or a running one.

Source: https://docs.ray.io/en/latest/ray-core/api/doc/ray.init.html and
https://docs.ray.io/en/latest/ray-security/token-auth.html, Ray 2.60.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

from zoo.errors import RequestError, ZooError

_logger = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 15.0
"""How long a running cluster may take to answer; Ray itself would ask again without an end."""
NUM_STARTS = 2
"""How often the start of a cluster is tried: Ray gives its processes 30 s, which a busy machine may exceed."""
TIMED_OUT = "timed out"

_PROBE = """
import logging, sys, ray
ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
"""
_TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def ray_cluster(*, num_cpus: int | None = None, address: str | None = None) -> Iterator[None]:
    """Connects this process to a Ray cluster during the block.

    Without an address, the cluster is on this machine, and all its processes end with the block. Its nodes and workers
    have loopback addresses; some of its ports still listen on all interfaces, and require a token that only this
    process and its children know. There is no dashboard and no telemetry, and the logs of workers are not printed. A
    process that is connected already stays as it is. A start that Ray gives up after its 30 s is repeated once.

    Args:
        num_cpus: The processors of a cluster on this machine, as Ray counts them; None for all.
        address: HOST:PORT of a running cluster of which this machine is a node, or `auto`, which finds it.
            `RAY_AUTH_MODE` and `RAY_AUTH_TOKEN_PATH` give its token, as for all of Ray's clients.
    Raises: ZooError, and leaves no process behind, if Ray is not installed, the cluster cannot be reached within
    SECONDS_TO_CONNECT seconds or has other versions of Ray or Python, or no cluster starts; RequestError if the address
    is not one, or this process is connected to another cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None and not any(name in os.environ for name in _TOKEN_VARIABLES):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # permanently, because Ray reads it once
    try:
        import ray
    except ImportError as error:
        raise ZooError("Ray is not installed: pip install 'certified-zoo[ray]'") from error
    if ray.is_initialized():
        _require_address(address, connected=ray.get_runtime_context().gcs_address)
        yield
        return
    if address is not None:
        require_reachable(address)
    with ExitStack() as stack:
        restore_handler = stack.enter_context(_own_handler_of_sigterm())
        stack.enter_context(_silent())
        if address is not None:
            stack.callback(ray.shutdown, wait_for_processes=True)
            _connect(address)
        else:
            stack.enter_context(_local_cluster(num_cpus))
        restore_handler()
        yield


def _connect(address: str, **options: object) -> None:
    """Connects this process. Raises: ZooError."""
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # Ray raises plain exceptions of many kinds
        raise ZooError(f"no Ray cluster: {_first_line(str(error))}") from error


@contextmanager
def _local_cluster(num_cpus: int | None) -> Iterator[None]:
    """A cluster on this machine. A start that times out is repeated once, after its processes were ended.

    Raises: ZooError if it does not start.
    """
    import ray

    for num_tries in range(1, NUM_STARTS + 1):
        with ExitStack() as stack:
            folder = stack.enter_context(_short_folder())
            stack.callback(_end_processes, folder)
            stack.callback(ray.shutdown, wait_for_processes=True)
            try:
                _connect("local", **_local_options(folder, num_cpus))
            except ZooError as error:
                if TIMED_OUT not in str(error).lower():
                    raise
                if num_tries == NUM_STARTS:
                    raise ZooError(f"{error} Tried {NUM_STARTS} times: this machine may be too busy") from error
                _logger.warning("Ray did not start within its 30 s on this busy machine; starting it once more")
                continue
            yield
            return


def _end_processes(folder: str) -> None:
    """Kills processes of a cluster in this folder: Ray leaves those of a start that failed until this process ends."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(folder in word for word in child.cmdline()):
                child.kill()


def _require_address(address: str | None, *, connected: str) -> None:
    """Raises RequestError if the address is another one than that of the cluster that this process is connected to."""
    if address is None or address == "auto" or _resolved(address) == _resolved(connected):
        return
    raise RequestError(
        f"this process is connected to the Ray cluster at {connected} already, and cannot use the one at {address}: "
        "use another process, or the same address"
    )


def _resolved(address: str) -> tuple[str, str]:
    """The IP address and the port of HOST:PORT; the host as it is if it is not known."""
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        host = socket.gethostbyname(host)
    return host, port


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps Ray's messages about lost workers out of stdout, which the output of commands has. No option does so.

    The test that kills a worker reads stdout, and so notices if another version of Ray needs another way.
    """
    from ray._private import worker

    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = True


def _local_options(folder: str, num_cpus: int | None) -> dict[str, object]:
    # In a folder of our own, Ray's record of the machine's current cluster, possibly another program's, is unchanged.
    options: dict[str, object] = {"num_cpus": num_cpus, "include_dashboard": False, "_temp_dir": folder}
    # By default, Ray adds 15 to the niceness of workers: if the cores are busy, they get a thirtieth of the time.
    options["_system_config"] = {
        "enable_worker_prestart": False,
        "prestart_worker_first_driver": False,
        "worker_niceness": 0,  # added to that of this process
    }
    if sys.platform == "linux":
        options["_node_ip_address"] = "127.0.0.2"  # Ray replaces 127.0.0.1 by the outside address
    return options


def _short_folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder for logs and sockets, deleted later. The path of a socket may have 107 bytes only."""
    parent = os.environ.get("RAY_TMPDIR", "/tmp")
    return tempfile.TemporaryDirectory(prefix="zoo-ray-", dir=parent, ignore_cleanup_errors=True)


@contextmanager
def _own_handler_of_sigterm() -> Iterator[Callable[[], None]]:
    """A function that undoes Ray's replacement of SIGTERM's handler. The default handler becomes that of Ctrl-C.

    The default would end this process without the end of the block, and leave the cluster's files.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def restore() -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler if before is signal.SIG_DFL else before)

    try:
        yield restore
    finally:
        signal.signal(signal.SIGTERM, before)


def require_reachable(address: str, *, seconds: float = SECONDS_TO_CONNECT) -> None:
    """Raises ZooError unless a Ray cluster with our versions answers at the address.

    Another process connects first: a connection cannot be given up, because Ray waits in native code.
    """
    advice = "start one with ray start --head, or check --ray-address"
    if address != "auto":
        match = re.fullmatch(r"(?P<host>[^\s:/]+|\[[^\s/]+\]):(?P<port>\d{1,5})", address)
        if match is None:
            raise RequestError(
                f"--ray-address takes HOST:PORT or auto, got {address!r}: give the address that ray start prints, on a "
                "node of the cluster"
            )
        try:
            socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=seconds / 4).close()
        except (OSError, OverflowError) as error:
            raise ZooError(f"the Ray cluster at {address} cannot be reached ({error}): {advice}") from error
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise ZooError(
            f"no Ray cluster answers at {address} within {seconds:g} s: check its token (RAY_AUTH_MODE, "
            f"RAY_AUTH_TOKEN_PATH), and that this machine is one of its nodes; or {advice}"
        ) from error
    if done.returncode != 0:
        raise ZooError(_sentence_of(done.stderr, address=address, advice=advice))


def _sentence_of(traceback: str, *, address: str, advice: str) -> str:
    """The reason for which a probe failed, in a sentence."""
    versions = re.findall(r"^\s*(Ray|Python): (\S+)$", traceback, re.MULTILINE)
    if "Version mismatch" in traceback and len(versions) == 4:
        (_, their_ray), (_, their_python), (_, our_ray), (_, our_python) = versions
        return (
            f"the Ray cluster at {address} has Ray {their_ray} and Python {their_python}, this process Ray {our_ray} "
            f"and Python {our_python}: install the same versions on all machines"
        )
    lines = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception): (.+)$", traceback, re.MULTILINE)
    reason = _first_line(lines[-1] if lines else traceback)
    return f"the Ray cluster at {address} cannot be used ({reason}): {advice}"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
