"""MODEL, as every command takes it: a checkpoint directory or a Hub id `owner/name[@revision]`."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.checkpoint import Checkpoint, open_checkpoint
from zoo.errors import RequestError

HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def locate(model: str, *, revision: str | None = None) -> Checkpoint:
    """The checkpoint that MODEL names, every file checked against its manifest.

    Raises: RequestError if it is neither a directory nor a Hub id; CheckpointError, HubError.
    """
    if Path(model).is_dir():
        return open_checkpoint(Path(model))
    repository, inner_revision = parse_hub_id(model)
    from zoo.hub import snapshot

    return open_checkpoint(snapshot(repository, revision=revision or inner_revision))


def parse_hub_id(model: str) -> tuple[str, str | None]:
    """Repository and revision of `owner/name[@revision]`. Raises: RequestError."""
    match = HUB_ID.fullmatch(model)
    if match is None or model.startswith((".", "/", "~")):
        raise RequestError(
            f"{model!r} is neither a directory here nor a Hub id of the form owner/name or owner/name@revision"
        )
    return match["repository"], match["revision"]
