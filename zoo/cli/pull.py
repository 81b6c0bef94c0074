"""`zoo pull`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import Json, Offline
from zoo.cli._plain import echo


def pull(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A Hub id (owner/name or owner/name@REVISION) or a catalog id.")
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory for the checkpoint.")],
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Download a checkpoint, checked against its manifest.

    A download from the Hub is pinned to one commit.

    Example: zoo pull owner/name my-model
    """
    from zoo.checkpoints.copying import install, require_new
    from zoo.cli._retries import retrier
    from zoo.loading.catalog_download import fetch, weights_directory
    from zoo.loading.locate import parse_hub_id
    from zoo.models.catalog import CATALOG, find_entry

    require_new(directory)
    if model in CATALOG:
        entry = find_entry(model)
        install(fetch(entry, cache=weights_directory(), offline=offline, retrier=retrier()), directory)
        facts, source = {"catalog_id": entry.id, "url": entry.file.url}, entry.id
    else:
        from zoo import hub

        repository, revision = parse_hub_id(model)
        checkpoint, commit = hub.fetch(repository, revision=revision, offline=offline, retrier=retrier())
        install(checkpoint, directory)
        facts = {"repository": commit.repository, "commit": commit.sha, "url": commit.url}
        source = f"{commit.repository}@{commit.sha}"
    echo(json.dumps(facts, indent=2) if as_json else f"{directory}: {source}")
