"""Serves a service of this process over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette

from serving.application.models import Versions
from serving.application.routes import application
from serving.application.running import running
from serving.description import openapi_document
from serving.driving import DrivenModel
from serving.service.service import InferenceService


def application_of(model: DrivenModel) -> Starlette:
    """The application with one model."""
    service = model.service
    return application({service.spec.name: Versions.only(model, version=service.version)}, describe=openapi_document)


@contextmanager
def served_in_process(service: InferenceService) -> Iterator[str]:
    """Serves the service while the block runs, and yields the server's origin."""
    model = DrivenModel(service)
    try:
        with running(application_of(model)) as running_app:
            yield running_app.url
    finally:
        model.close()
