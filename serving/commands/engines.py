"""The server of each engine, made from the options of `zoo serve`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.front.sources import CheckpointSource
    from serving.plain_server.server import PlainServer
    from serving.ray_server.server import RayServer
    from serving.server import Ports, ServerOptions
    from serving.server.engine import Engine
    from serving.torchserve import TorchServe
    from zoo.checkpoints.checkpoint import Checkpoint


class EngineName(StrEnum):
    """The engines of `zoo serve`."""

    TORCHSERVE = "torchserve"
    ASGI = "asgi"
    RAY = "ray"


REQUEST_BYTES_PER_IMAGE_BYTE = (
    2  # base64 and JSON make a body larger than its images; TorchServe's limit must be above the model's own
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The models of a command line, the directory for their archives (None: none is kept), and the options for all."""

    models: Sequence[str]
    store: Path | None
    n: int
    max_n: int
    max_pixels: int
    limits: Sequence[str]
    device: str
    backend: str
    precision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWords:
    """The options of a command line that only Ray takes: the number of replicas, and a running cluster's address."""

    replicas: int = 1
    max_replicas: int | None = None
    ray_address: str | None = None


def prepared_server(
    engine: EngineName,
    sources: Sources,
    *,
    cluster: ClusterWords,
    ports: Ports,
    options: ServerOptions,
    opened: ExitStack,
) -> AbstractContextManager[Engine]:
    """The server of an engine, which is not running yet. Raises: RequestError if options and engine do not match."""
    if engine is EngineName.RAY:
        return _ray_server(sources, cluster=cluster, ports=ports, options=options)
    _require_no_replicas(cluster)
    if engine is EngineName.TORCHSERVE:
        return _torchserve(sources, ports=ports, options=options, opened=opened)
    return _plain_server(sources, ports=ports, options=options)


def _torchserve(sources: Sources, *, ports: Ports, options: ServerOptions, opened: ExitStack) -> TorchServe:
    """A TorchServe instance with the archives of the models, which `opened` removes if no directory keeps them."""
    import tempfile

    from serving.server.archive import make_archive
    from serving.server.limit_options import limits_from
    from serving.torchserve import TorchServe
    from zoo.errors import RequestError
    from zoo.loading.backend import require_backend_name, require_precision_name
    from zoo.loading.device import pick_device
    from zoo.loading.locate import locate

    if options.tokens is not None:
        raise RequestError("--tokens needs --engine asgi or ray: TorchServe has one token for all clients")
    limits = limits_from(sources.n, sources.max_n, sources.max_pixels, sources.limits)
    device, backend = sources.device, sources.backend
    pick_device(device)
    require_backend_name(backend)
    if sources.precision is not None:
        require_precision_name(sources.precision)
    checkpoints = [locate(model) for model in sources.models]
    names = [checkpoint.spec.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise RequestError(f"two models have the same name ({', '.join(names)}): serve each of them on its own server")
    store = sources.store or Path(opened.enter_context(tempfile.TemporaryDirectory()))
    archives = [
        make_archive(
            checkpoint,
            store,
            limits=limits,
            device=device,
            backend=backend,
            precision=sources.precision,
            workers=_num_workers(checkpoint, device),
        )
        for checkpoint in checkpoints
    ]
    hashes = [checkpoint.weights_sha256 for checkpoint in checkpoints]
    options = replace(options, max_request_bytes=REQUEST_BYTES_PER_IMAGE_BYTE * limits.max_bytes)
    return TorchServe(archives, weights_sha256=hashes, ports=ports, options=options)


def _plain_server(sources: Sources, *, ports: Ports, options: ServerOptions) -> PlainServer:
    """A plain server. Its workers load the models, so that this process needs no torch.

    The workers import torch while this process imports the HTTP server. They are ended if that fails.
    """
    from serving.plain_server.starting import StartedProcess, environment_of_workers

    environment = environment_of_workers(threads=options.threads, num_workers=len(sources.models))
    started: list[StartedProcess] = []
    with ExitStack() as ended_on_failure:
        for _ in sources.models:
            started.append(StartedProcess.start(environment))
            ended_on_failure.callback(started[-1].end)
        from serving.plain_server.server import PlainServer

        checkpoints = _checkpoint_sources(sources)
        ended_on_failure.pop_all()  # from here on, the server ends them
    return PlainServer(checkpoints, started=started, ports=ports, options=options)


def _ray_server(sources: Sources, *, cluster: ClusterWords, ports: Ports, options: ServerOptions) -> RayServer:
    """A server with replicas in a Ray cluster. They load the models, so that this process needs no torch."""
    from importlib.util import find_spec

    from zoo.errors import RequestError, ZooError

    if find_spec("ray") is None:
        raise ZooError("Ray is not installed: pip install 'certified-zoo[ray]'")
    from serving.ray_server.scaling import Bounds
    from serving.ray_server.server import ClusterOptions, RayServer

    if ":" in sources.device:
        raise RequestError(f"--device {sources.device} contradicts --engine ray, which gives out the GPUs: use cuda")
    bounds = Bounds(cluster.replicas, cluster.max_replicas or cluster.replicas)
    return RayServer(
        _checkpoint_sources(sources),
        cluster=ClusterOptions(address=cluster.ray_address, replicas=bounds),
        ports=ports,
        options=options,
    )


def _require_no_replicas(cluster: ClusterWords) -> None:
    from zoo.errors import RequestError

    usual = ClusterWords()
    for name in ("replicas", "max_replicas", "ray_address"):
        if getattr(cluster, name) != getattr(usual, name):
            option = f"--{name.replace('_', '-')}"
            raise RequestError(f"{option} needs --engine ray: the other engines have one worker per version or GPU")


def _checkpoint_sources(sources: Sources) -> list[CheckpointSource]:
    """The checkpoints with their options, as words that a worker can read."""
    from serving.front.sources import CheckpointSource

    return [
        CheckpointSource(
            model=model,
            store=None if sources.store is None else str(sources.store.absolute()),
            n=sources.n,
            max_n=sources.max_n,
            max_pixels=sources.max_pixels,
            limits=tuple(sources.limits),
            device=sources.device,
            backend=sources.backend,
            precision=sources.precision,
        )
        for model in sources.models
    ]


def _num_workers(checkpoint: Checkpoint, device: str) -> int:
    """One worker per GPU, or one."""
    import torch

    from zoo.loading.device import device_for

    uses_all_gpus = device_for(checkpoint, device).type == "cuda" and ":" not in device
    return max(1, torch.cuda.device_count()) if uses_all_gpus else 1
