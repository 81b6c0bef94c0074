"""What a worker process does with its settings: it loads one version of a model and answers the front process."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

from serving.application.models import ReceivedRequest
from serving.driving import Deliver, Driver
from serving.front.model_loading import LocatedCheckpoint, Surroundings, description_of, load, message_of
from serving.metrics import PrometheusObserver
from serving.plain_server.frames import Frames
from serving.plain_server.settings import WorkerSettings
from serving.server.draining import DrainSign
from serving.server.logs import log_json_lines
from serving.server.model_store import Archive, read_archive
from serving.service.family_store import FamilyStore
from serving.service.replies import Reply
from serving.service.service import FIRST_VERSION, InferenceService

logger = logging.getLogger(__name__)


def serve(frames: Frames, settings: WorkerSettings) -> None:
    """Loads the model, reports that or why it cannot be loaded, and answers until the connection ends."""
    try:
        archive, service, observer = loaded(settings)
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


def loaded(settings: WorkerSettings) -> tuple[Archive, InferenceService, PrometheusObserver]:
    """The adopted archive, its service, and the observer of the service. Raises: the errors of loading either."""
    if isinstance(settings.source, Path):
        archive = read_archive(settings.source)
        observer = PrometheusObserver(model=archive.name, version=archive.version)
        surroundings = _surroundings(settings, observer, name=archive.name, version=archive.version)
        service = load(archive, unpacked=settings.unpacked, surroundings=surroundings)
        return archive, service, observer
    located = LocatedCheckpoint.of(settings.source)
    name, version = located.checkpoint.spec.name, FIRST_VERSION
    observer = PrometheusObserver(model=name, version=version)
    surroundings = _surroundings(settings, observer, name=name, version=version)
    archive, service = located.archived_and_loaded(settings.archives, surroundings)
    return archive, service, observer


def _surroundings(settings: WorkerSettings, observer: PrometheusObserver, *, name: str, version: str) -> Surroundings:
    return Surroundings(
        noise_secret=bytes.fromhex(settings.noise_secret),
        families=partial(FamilyStore, settings.families),
        observer=observer,
        is_closing=DrainSign.in_folder(settings.signs, name, version).is_up,
    )


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
