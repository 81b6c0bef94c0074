"""`zoo models`: lists and changes the models of a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serving.commands.options import DefaultN, Limit, MaxN, MaxPixels
from zoo.cli._help import HelpfulCommand
from zoo.cli._options import Backend, Device, Json, Model, Precision
from zoo.cli._plain import echo

models = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="List, add, switch and remove models of a running server.\n\nIt runs with zoo serve --store DIR.",
)
Store = Annotated[Path, typer.Option("--store", metavar="DIR", help="The --store directory of zoo serve.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A version of the model.")]


@models.command("list", cls=HelpfulCommand)
def list_versions(store: Store, as_json: Json = False) -> None:
    """List models, versions and workers; * marks the default version.

    The default version answers requests that name no version.

    Example: zoo models list --store archives
    """
    from dataclasses import asdict

    from serving.server.record import ServerRecord

    with ServerRecord.read(store).open_management() as management:
        versions = management.versions()
    if as_json:
        echo(json.dumps([asdict(version) for version in versions]))
        return
    for version in versions:
        mark = "*" if version.is_default else " "
        workers = f"{version.num_ready} of {version.num_workers} workers ready"
        echo(f"{mark} {version.name}\t{version.version}\t{workers}")


@models.command(cls=HelpfulCommand)
def add(
    model: Model,
    store: Store,
    version: Annotated[
        str | None, typer.Option("--version", help="The version; by default the next whole number.", show_default=False)
    ] = None,
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 25_000_000,
    limit: Limit = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
) -> None:
    """Load a model, or a new version of a model, next to the served ones.

    Prints its name and version.

    Example: zoo models add my-model --store archives
    """
    from serving.server import switching
    from serving.server.archive import make_archive
    from serving.server.limit_options import limits_from
    from serving.server.model_store import adopt
    from serving.server.record import ServerRecord
    from zoo.loading.locate import locate

    limits = limits_from(n, max_n, max_pixels, limit or ())
    record = ServerRecord.read(store)
    with record.open_management() as management:
        checkpoint = locate(model)
        name = checkpoint.spec.name
        chosen = switching.new_version(management.versions(), name, version)
        path = make_archive(
            checkpoint, store, limits=limits, device=device, backend=backend, precision=precision, version=chosen
        )
        archive = adopt(path, Path(record.archives), weights_sha256=checkpoint.weights_sha256)
        switching.add(record, management, archive, kept=path)
    echo(f"{name}\t{chosen}")


@models.command(cls=HelpfulCommand)
def switch(name: Name, version: Version, store: Store) -> None:
    """Make a version the default of its model.

    To roll back, switch to the previous version.

    Example: zoo models switch my-model 2 --store archives
    """
    from serving.server.record import ServerRecord
    from serving.server.switching import require_served
    from zoo.errors import ServerError

    with ServerRecord.read(store).open_management() as management:
        if not require_served(management.versions(), name, version).is_ready:
            raise ServerError(
                f"no worker of {name} {version} is ready, so switching would lose requests: retry when `zoo models "
                "list` shows a ready worker"
            )
        management.switch(name, version)
    echo(f"{name}\t{version}")


@models.command(cls=HelpfulCommand)
def remove(
    name: Name,
    version: Version,
    store: Store,
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", min=0, help="Time for open requests to finish, in seconds.")
    ] = 30.0,
) -> None:
    """Remove a version after its open requests are answered.

    Its archive stays in the store.

    Example: zoo models remove my-model 1 --store archives
    """
    from serving.server import switching
    from serving.server.record import ServerRecord
    from zoo.errors import ServerError

    record = ServerRecord.read(store)
    with record.open_management() as management:
        if not switching.remove(record, management, name, version, seconds=drain_seconds):
            raise ServerError(
                f"{name} {version} is removed, but requests were still open after {drain_seconds:g} s and were cut off"
            )
    echo(f"{name}\t{version}")
