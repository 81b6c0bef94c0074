"""MODEL, as every command takes it: a checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.catalog import CATALOG, fetch, find_entry, near_ids, weights_directory
from zoo.checkpoint import Checkpoint, open_checkpoint
from zoo.errors import RequestError

HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def locate(model: str, *, revision: str | None = None) -> Checkpoint:
    """The checkpoint that MODEL names, every file checked against its manifest.

    A catalog entry is downloaded and imported the first time.
    Raises: RequestError if it is none of the three; CheckpointError, HubError, ForeignCheckpointError.
    """
    if Path(model).is_dir():
        return open_checkpoint(Path(model))
    if model in CATALOG:
        return fetch(find_entry(model), cache=weights_directory())
    repository, inner_revision = parse_hub_id(model)
    from zoo.hub import snapshot

    return open_checkpoint(snapshot(repository, revision=revision or inner_revision))


def parse_hub_id(model: str) -> tuple[str, str | None]:
    """Repository and revision of `owner/name[@revision]`. Raises: RequestError."""
    match = HUB_ID.fullmatch(model)
    if match is None or model.startswith((".", "/", "~")):
        near = "" if "/" in model else ", ".join(near_ids(model))
        raise RequestError(
            f"{model!r} is neither a directory here nor a Hub id of the form owner/name or owner/name@revision"
            + (f"; near it in the catalog: {near}" if near else "")
        )
    return match["repository"], match["revision"]
