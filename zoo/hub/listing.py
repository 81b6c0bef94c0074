"""Listing: which of an owner's repositories are checkpoints of this zoo, and what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from huggingface_hub import ModelInfo

from zoo.download.retry import USUAL, Patience
from zoo.errors import ZooError
from zoo.hub.commit import Commit
from zoo.hub.connection import api, connect
from zoo.hub.fetching import DESCRIPTION, describe, source_of
from zoo.hub.refusals import passing, translated
from zoo.models.layout import CONFIG, MANIFEST
from zoo.models.spec import ModelSpec

CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A repository that looks like a checkpoint. `spec` is None where it could not be read, and `problem` says why."""

    repository: str
    sha: str
    private: bool
    spec: ModelSpec | None
    problem: str | None


def list_checkpoints(owner: str, *, limit: int, patience: Patience = USUAL) -> tuple[list[Listed], int]:
    """The checkpoints among the owner's first `limit` model repositories, by name, and how many those were.

    Raises: HubError.
    """
    with translated(owner, access="read"):
        connect()
        models = patience.keep_trying(
            lambda: list(api().list_models(author=owner, full=True, limit=limit)), reason=passing
        )
    candidates = [model for model in models if {CONFIG, MANIFEST} <= set(_names(model))]
    if candidates:
        patience.tell(f"reading {len(candidates)} of {len(models)} repositories of {owner}")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        listed = list(pool.map(lambda model: _read(model, patience), candidates))
    return sorted(listed, key=lambda each: each.repository), len(models)


def _read(model: ModelInfo, patience: Patience) -> Listed:
    commit = Commit(repository=model.id, sha=model.sha or "main", url="")
    spec, problem = None, None
    try:
        spec = describe(source_of(commit, _names(model), wanted=DESCRIPTION), patience).spec
    except ZooError as error:
        problem = str(error)
    return Listed(repository=model.id, sha=commit.sha, private=bool(model.private), spec=spec, problem=problem)


def _names(model: ModelInfo) -> Sequence[str]:
    return [sibling.rfilename for sibling in model.siblings or ()]
