"""Section `service`: the latency of the inference service, without a server, for single and for mixed requests."""

from __future__ import annotations

import io
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import build, picture
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.loops import SIGMA
from serving.protocol import Limits
from serving.service.loading import load_service
from serving.service.service import InferenceService
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing

Row = dict[str, object]


def measure(settings: Settings, findings: Findings) -> None:
    """Loads a checkpoint, times single requests, then predictions that arrive while long certifications run."""
    checkpoint = checkpoint_of(settings)
    device = "cuda:0" if settings.device_name == "cuda" else settings.device_name
    started = time.perf_counter()
    service = load_service(checkpoint, device=device, limits=Limits(), backend="torch")
    findings["seconds to load"] = round(time.perf_counter() - started, 2)
    findings["model"], findings["backend"] = checkpoint.spec.name, service.engine.sampler.backend
    findings["draws per step"] = service.step_size.value
    image = png(settings)
    n = 20 if settings.is_tiny else 1000
    certify, predict = {"data": image, "n": str(n)}, {"data": image, "mode": "predict", "n": str(n)}
    findings["requests"] = {}
    for name, row in {f"certify, n = {n}": certify, f"predict, n = {n}": predict}.items():
        with findings.part(name):
            findings["requests"][f"{name}, alone"] = alone(service, row, settings)
    with findings.part("mixed"):
        findings["requests"] |= mixed(service, predict, image, settings)
    require("memory ran out" not in service.engine.sampler.backend, service.engine.sampler.backend)


def alone(service: InferenceService, row: Row, settings: Settings) -> dict[str, Any]:
    """The latency in milliseconds while no other request is open."""
    latencies, num_steps = [], 0
    for turn in range(2 if settings.is_tiny else 20):
        started, num_steps = time.perf_counter(), 0
        reply = None
        while reply is None or not reply.is_last:
            reply, num_steps = service.step({turn: row})[turn], num_steps + 1
        latencies.append(1e3 * (time.perf_counter() - started))
        require(reply.status == 200, reply.text)
    return {**spread(latencies), "steps": num_steps}


def mixed(service: InferenceService, predict: Row, image: bytes, settings: Settings) -> dict[str, Any]:
    """Latencies while two long certifications are always open and a prediction arrives every few steps."""
    long_row: Row = {"data": image, "n": "400" if settings.is_tiny else "50000"}
    rows: dict[str, Row] = {"long 0": long_row, "long 1": long_row}
    arrived: dict[str, float] = {}
    latencies: list[float] = []
    step_times: list[float] = []
    num_steps, num_long = (12, 0) if settings.is_tiny else (300, 0)
    for number in range(num_steps):
        if number % 3 == 0:
            rows[f"short {number}"] = predict
            arrived[f"short {number}"] = time.perf_counter()
        started = time.perf_counter()
        replies = service.step(rows)
        step_times.append(1e3 * (time.perf_counter() - started))
        for id, reply in replies.items():
            if not reply.is_last:
                continue
            require(reply.status == 200, reply.text)
            del rows[id]
            if id in arrived:
                latencies.append(1e3 * (time.perf_counter() - arrived[id]))
            else:
                num_long += 1
                rows[f"long {num_long + 1}"] = long_row
    service.step({})  # drops the open requests
    return {
        "predict, beside two long certifications": spread(latencies),
        "steps, beside two long certifications": {**spread(step_times), "steps": num_steps},
    }


def spread(milliseconds: list[float]) -> dict[str, float]:
    """The median and the 95th percentile."""
    ordered = sorted(milliseconds)
    return {
        "median, ms": round(statistics.median(ordered), 2),
        "95 % below, ms": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        "measured": len(ordered),
    }


def png(settings: Settings) -> bytes:
    pixels_HWC = (picture(0, settings) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, "PNG")
    return buffer.getvalue()


def checkpoint_of(settings: Settings) -> Checkpoint:
    """The checkpoint of the settings, or a new one with random weights and an untrained head."""
    if settings.checkpoint is not None:
        return open_checkpoint(settings.checkpoint)
    return made_checkpoint(settings, settings.caches / "checkpoint")


def made_checkpoint(settings: Settings, folder: Path) -> Checkpoint:
    network = build(settings)
    num_classes = network.backbone.fc.out_features
    certified = CertifiedConfig(
        objective="consistency",
        hyper_parameters={"sigma": SIGMA},
        sigma=SIGMA,
        task="imagenet",
        class_names=tuple(str(label) for label in range(num_classes)),
        seed=0,
        epochs=0,
        recipe_digest="0" * 64,
        preprocessing=Preprocessing(resize=settings.size, crop=settings.size),
    )
    spec = ModelSpec(architecture=settings.architecture, num_classes=num_classes, certified=certified)
    return save_checkpoint(folder, network, spec)
