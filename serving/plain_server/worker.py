"""A worker process: loads one version of a model and answers the front process: `python -m ... FILE_DESCRIPTOR`.

It ends when the front process closes the connection, and so also when the front process dies.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any

import torch
import yaml

from serving.application.models import ReceivedRequest
from serving.description import openapi_document
from serving.driving import BODY_BYTES_PER_IMAGE_BYTE, Deliver, Driver
from serving.metrics import PrometheusObserver
from serving.plain_server.frames import Frames
from serving.plain_server.settings import CheckpointSource, WorkerSettings
from serving.protocol import model_metadata
from serving.server.archive import SETTINGS, make_archive
from serving.server.draining import DrainSign
from serving.server.limit_options import limits_from
from serving.server.logs import log_json_lines
from serving.server.model_store import Archive, adopt, read_archive
from serving.service.loading import load_from_archive
from serving.service.replies import Reply
from serving.service.service import FIRST_VERSION, InferenceService
from zoo.errors import ZooError
from zoo.loading.locate import locate

logger = logging.getLogger(__name__)


def main() -> None:
    """Serves until the connection ends."""
    logging.basicConfig(stream=sys.stdout)
    log_json_lines(is_serving=False)
    frames = Frames(socket(fileno=int(sys.argv[1])))
    head, _ = frames.read()
    try:
        archive, service, observer = load(WorkerSettings.from_json(head["load"]))
    except Exception as error:
        logger.exception("the model cannot be loaded")
        frames.write({"failed": {"type": type(error).__name__, "message": message_of(error)}})
        return
    driver = Driver(service, after_step=lambda num_open: observer.ended(num_open=num_open))
    log_json_lines(is_serving=True)
    frames.write({"ready": description_of(archive, service)})
    with suppress(EOFError, OSError):
        answer(frames, driver)
    driver.close()


def message_of(error: Exception) -> str:
    """The reason why a model cannot be loaded, in one sentence."""
    return str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}"


def load(settings: WorkerSettings) -> tuple[Archive, InferenceService, PrometheusObserver]:
    """The adopted archive, its service, and the observer of the service. Raises: the errors of `load_from_archive`."""
    source = settings.source
    if isinstance(source, CheckpointSource):
        archive = adopted_archive(source, settings.archives)
    else:
        archive = read_archive(source)
    settings.unpacked.mkdir(exist_ok=True)
    model_dir = Path(tempfile.mkdtemp(dir=settings.unpacked))
    with zipfile.ZipFile(archive.path) as file:
        file.extractall(model_dir)
    config = yaml.safe_load((model_dir / SETTINGS).read_text())
    observer = PrometheusObserver(model=archive.name, version=archive.version)
    service = load_from_archive(
        model_dir,
        config,
        device=device_of(config),
        version=archive.version,
        noise_secret=bytes.fromhex(settings.noise_secret),
        families_folder=settings.families,
        observer=observer,
        is_closing=DrainSign.in_folder(settings.signs, archive.name, archive.version).is_up,
    )
    return archive, service, observer


def adopted_archive(source: CheckpointSource, archives: Path) -> Archive:
    """A new archive of the checkpoint in the server's own folder of archives, and in its store if it has one."""
    limits = limits_from(source.n, source.max_n, source.max_pixels, source.limits)
    checkpoint = locate(source.model)
    folder = archives if source.store is None else Path(source.store)
    path = make_archive(
        checkpoint, folder, limits=limits, device=source.device, backend=source.backend, precision=source.precision
    )
    if source.store is None:
        return Archive(path, checkpoint.spec.name, FIRST_VERSION)
    return adopt(path, archives, weights_sha256=checkpoint.weights_sha256)


def device_of(config: dict[str, Any]) -> str:
    """The device of a worker: that of the archive, or a GPU if there is one."""
    if config.get("deviceType") == "cpu" or not torch.cuda.is_available():
        return "cpu"
    (index, *_) = config.get("deviceIds") or [0]
    return f"cuda:{index}"


def description_of(archive: Archive, service: InferenceService) -> dict[str, Any]:
    """What the front process needs to know of the loaded model."""
    return {
        "archive": str(archive.path),
        "name": archive.name,
        "version": archive.version,
        "max_body_bytes": BODY_BYTES_PER_IMAGE_BYTE * service.limits.max_bytes,
        "metadata": model_metadata(model=archive.name, version=archive.version),
        "interface": openapi_document(),
    }


def answer(frames: Frames, driver: Driver) -> None:
    """Passes requests to the driver. Raises: EOFError or OSError when the front process has closed the connection."""
    while True:
        head, body = frames.read()
        if "forget" in head:
            driver.forget(head["forget"])
            continue
        fields, place = {}, 0
        for name, length in head["fields"]:
            fields[name] = body[place : place + length]
            place += length
        request = ReceivedRequest(
            kind=head["kind"], fields=fields, query=head["query"], header_length=head["header_length"]
        )
        driver.open(head["open"], request, deliver_to(frames, head["open"]))


def deliver_to(frames: Frames, id: int) -> Deliver:
    """The function that sends the replies to a request."""

    def deliver(reply: Reply) -> None:
        head = {"reply": id, "is_last": reply.is_last, "content_type": reply.content_type, "status": reply.status}
        text = reply.text.encode() if isinstance(reply.text, str) else reply.text
        with suppress(OSError):  # the front process has ended, and this one is about to
            frames.write({**head, "headers": dict(reply.headers)}, text)

    return deliver


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the connection has ended: nothing is left to answer, and libraries' threads need not be joined
