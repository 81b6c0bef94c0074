"""The TorchServe handler of a smoothed classifier. TorchServe needs exactly one class in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch

from serving.metrics import PrometheusObserver
from serving.protocol import BinaryBody, binary_tensors, error_body, to_json
from serving.server.draining import DrainSign
from serving.server.logs import log_json_lines
from serving.server.visible_gpus import restore_names
from serving.service.family_store import FamilyStore, families_folder
from serving.service.loading import load_from_archive
from serving.service.noise_secret import noise_secret_of_environment
from serving.service.replies import JSON, Reply
from serving.service.service import InferenceService

# TorchServe's round trip between two calls takes 2 to 3 ms, in which a GPU could draw.
SECONDS_PER_CALL = 0.02
# TorchServe ends a gRPC call after the first part of its response, and a streaming gRPC call kills its worker thread.
NOT_OVER_GRPC = Reply(
    text=to_json(error_body(501, "responses are available only over HTTP, not over gRPC", type="NotImplementedError")),
    is_last=True,
    content_type=JSON,
    status=501,
)


class SmoothedClassifierHandler:
    """Runs engine steps for all open requests in each `handle()` call, under TorchServe's continuous batching.

    A call is one step, or as many short ones as fit into SECONDS_PER_CALL while no request has news.

    TorchServe calls the stopping criterion of each row. None ends a request at its first step with a complete response.
    True ends a request that has been streaming; at the first step it would lose the response. False keeps the request
    open. A row without a reply yet is left out of the message to TorchServe, which then passes the row again, with its
    whole body: no status has been sent for it.
    """

    def __init__(self) -> None:
        self.service: InferenceService | None = None
        self.observer: PrometheusObserver | None = None
        self.streaming: set[str] = set()

    def initialize(self, context: Any) -> None:
        """Loads the checkpoint from the directory into which TorchServe unpacked the archive."""
        log_json_lines(is_serving=False)
        restore_names()
        properties = context.system_properties
        model, version = context.manifest["model"]["modelName"], context.manifest["model"]["modelVersion"]
        self.observer = PrometheusObserver(model=model, version=version)
        gpu = properties.get("gpu_id")
        device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        model_dir = Path(properties["model_dir"])
        self.service = load_from_archive(
            model_dir,
            context.model_yaml_config,
            device=device,
            version=version,
            noise_secret=noise_secret_of_environment(),
            families=partial(FamilyStore, families_folder(model_dir)),
            observer=self.observer,
            is_closing=DrainSign.from_environment(model, version).is_up,
        )
        self.observer.watch_for_abandonment()
        log_json_lines(is_serving=True)

    def handle(self, data: Sequence[Mapping[str, object]], context: Any) -> list[str | bytes]:
        """The text to send to each row's client after this call; "" if there is nothing to send yet."""
        assert self.service is not None and self.observer is not None
        self.observer.began()
        ids = [context.request_ids[index] for index in range(len(data))]
        grpc_ids = {
            id for index, id in enumerate(ids) if id not in self.streaming and not _arrived_over_http(context, index)
        }
        rows = {
            id: _with_its_header(row, context, index) for index, (id, row) in enumerate(zip(ids, data, strict=True))
        }
        rows_of_http = {id: row for id, row in rows.items() if id not in grpc_ids}
        replies = self.service.step(rows_of_http, seconds=0.0 if grpc_ids else SECONDS_PER_CALL)
        replies |= dict.fromkeys(grpc_ids, NOT_OVER_GRPC)
        self.streaming &= set(ids)
        criteria: list[bool | None] = []
        for index, id in enumerate(ids):
            if id not in replies:
                del context.request_ids[index]  # TorchServe writes the responses of the ids in this dict
                criteria.append(None)
                continue
            reply = replies[id]
            context.set_response_content_type(index, reply.content_type)
            if id not in self.streaming:
                for name, value in reply.headers.items():
                    context.set_response_header(index, name, value)
            if not reply.is_last:
                criteria.append(False)
                self.streaming.add(id)
            elif id in self.streaming:  # status 200 was already sent: only the text can report an error
                criteria.append(True)
                self.streaming.discard(id)
            else:
                criteria.append(None)
                context.set_response_status(reply.status, HTTPStatus(reply.status).phrase, index)
        self.observer.ended(num_open=self.service.num_open)
        context.stopping_criteria = [lambda _, criterion=criterion: criterion for criterion in criteria]
        return [replies[id].text if id in replies else "" for id in ids]


def _with_its_header(row: Mapping[str, object], context: Any, index: int) -> Mapping[str, object]:
    """The row, whose body is a BinaryBody if the request has the header of binary tensors."""
    body = row.get("body")
    if not isinstance(body, bytes | bytearray):
        return row
    for name, value in context.get_all_request_header(index).items():
        if name.lower() == binary_tensors.HEADER.lower() and isinstance(value, str):
            return {"body": BinaryBody(bytes(body), value)}
    return row


def _arrived_over_http(context: Any, index: int) -> bool:
    """Whether a new row has headers of an HTTP request, and not only headers of the parts of a form."""
    return any(isinstance(value, str) for value in context.get_all_request_header(index).values())
