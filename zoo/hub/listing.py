"""Lists an owner's repositories that are checkpoints of this zoo, with the description of each."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from huggingface_hub import ModelInfo

from zoo.download.retry import DEFAULT_RETRIER, Retrier
from zoo.errors import ZooError
from zoo.hub.connection import CLIENT_SETTINGS, Commit, api, require_reachable
from zoo.hub.fetching import DESCRIPTION, describe, source_of
from zoo.hub.refusals import transient_failure, translated
from zoo.models.layout import CONFIG, MANIFEST
from zoo.models.spec import ModelSpec

CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A repository that looks like a checkpoint; if it cannot be read, `spec` is None and `problem` says why."""

    repository: str
    sha: str
    private: bool
    spec: ModelSpec | None
    problem: str | None


@CLIENT_SETTINGS
def list_checkpoints(owner: str, *, limit: int, retrier: Retrier = DEFAULT_RETRIER) -> tuple[list[Listed], int]:
    """The checkpoints among the owner's first `limit` model repositories, sorted by name, and the number searched.

    Raises: HubError.
    """
    with translated(owner, access="read"):
        require_reachable()
        models = retrier.call(
            lambda: list(api().list_models(author=owner, full=True, limit=limit)), transient=transient_failure
        )
    candidates = [model for model in models if {CONFIG, MANIFEST} <= set(_names(model))]
    if candidates:
        retrier.report(f"reading {len(candidates)} of {len(models)} repositories of {owner}")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        listed = list(pool.map(lambda model: _read(model, retrier), candidates))
    return sorted(listed, key=lambda entry: entry.repository), len(models)


def _read(model: ModelInfo, retrier: Retrier) -> Listed:
    commit = Commit(repository=model.id, sha=model.sha or "main", url="")
    spec, problem = None, None
    try:
        spec = describe(source_of(commit, _names(model), wanted=DESCRIPTION), retrier).spec
    except ZooError as error:
        problem = str(error)
    return Listed(repository=model.id, sha=commit.sha, private=bool(model.private), spec=spec, problem=problem)


def _names(model: ModelInfo) -> Sequence[str]:
    return [sibling.rfilename for sibling in model.siblings or ()]
