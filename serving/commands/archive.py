"""`zoo archive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.commands.options import DefaultN, Limit, MaxN, MaxPixels
from zoo.cli._options import Backend, Device, Model, Precision
from zoo.cli._plain import echo


def archive(
    model: Model,
    store: Annotated[Path, typer.Option("--store", help="The directory for TorchServe's archives.", metavar="DIR")],
    version: Annotated[str, typer.Option("--version", help="The version of the model in the archive.")] = "1.0",
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Number of workers, distributed over the GPUs in turn.")
    ] = 1,
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 25_000_000,
    limit: Limit = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
) -> None:
    """Pack a checkpoint into a .mar archive for TorchServe.

    The archive contains the handler.

    Example: zoo archive my-model --store archives
    """
    from serving.server.archive import make_archive
    from serving.server.limit_options import limits_from
    from zoo.loading.locate import locate

    limits = limits_from(n, max_n, max_pixels, limit or ())
    path = make_archive(
        locate(model),
        store,
        limits=limits,
        device=device,
        backend=backend,
        precision=precision,
        version=version,
        workers=workers,
    )
    echo(path)
