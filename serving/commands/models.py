"""`zoo models`: which models a running server serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serving.commands.options import DefaultN, Limit, MaxN, MaxPixels, limits_from
from zoo.cli._options import Backend, Device, Json, Model

models = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Add, switch and remove models of a zoo serve --store DIR while it runs.",
)
Store = Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder that zoo serve was given.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions.")]


@models.command("list")
def list_versions(store: Store, as_json: Json = False) -> None:
    """List models, versions and workers; the version marked * answers those who name none."""
    from dataclasses import asdict

    from serving.server.record import ServerRecord

    with ServerRecord.read(store).open_management() as management:
        versions = management.versions()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in versions]))
        return
    for each in versions:
        mark = "*" if each.is_default else " "
        typer.echo(f"{mark} {each.name}\t{each.version}\t{each.num_ready} of {each.num_workers} workers ready")


@models.command()
def add(
    model: Model,
    store: Store,
    version: Annotated[
        str | None, typer.Option("--version", help="The next whole number, unless given.", show_default=False)
    ] = None,
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 33_554_432,
    limit: Limit = None,
    device: Device = "auto",
    backend: Backend = "auto",
) -> None:
    """Load a model, or a new version of one, beside those that answer; prints its name and version."""
    from serving.server import switching
    from serving.server.archive import make_archive
    from serving.server.model_store import read_archive
    from serving.server.record import ServerRecord
    from zoo.loading.locate import locate

    limits = limits_from(n, max_n, max_pixels, limit or ())
    record = ServerRecord.read(store)
    with record.open_management() as management:
        checkpoint = locate(model)
        name = checkpoint.spec.name
        chosen = switching.new_version(management.versions(), name, version)
        archive = make_archive(checkpoint, store, limits=limits, device=device, backend=backend, version=chosen)
        switching.add(record, management, read_archive(archive))
    typer.echo(f"{name}\t{chosen}")


@models.command()
def switch(name: Name, version: Version, store: Store) -> None:
    """Have a version answer those who name none; switching back is a roll-back."""
    from serving.server.record import ServerRecord
    from serving.server.switching import require_served
    from zoo.errors import ServerError

    with ServerRecord.read(store).open_management() as management:
        if not require_served(management.versions(), name, version).is_ready:
            raise ServerError(f"no worker of {name} {version} is ready: switching would lose requests")
        management.switch(name, version)
    typer.echo(f"{name}\t{version}")


@models.command()
def remove(
    name: Name,
    version: Version,
    store: Store,
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", min=0, help="How long its open requests have.")
    ] = 30.0,
) -> None:
    """End a version when its open requests are answered; its archive stays in the store."""
    from serving.server import switching
    from serving.server.record import ServerRecord
    from zoo.errors import ServerError

    record = ServerRecord.read(store)
    with record.open_management() as management:
        if not switching.remove(record, management, name, version, seconds=drain_seconds):
            raise ServerError(f"{name} {version} is removed; requests that were still open were cut off")
    typer.echo(f"{name}\t{version}")
