"""Fetches one commit of a repository into the Hub client's file cache and checks the files before use.

The client itself compares only file sizes. This module fetches the files of a checkpoint, from a repository that
contains nothing else, and compares every byte with the checkpoint's manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint, read_manifest, read_spec, sha256_of
from zoo.download.retry import DEFAULT_RETRIER, Retrier
from zoo.errors import CheckpointError, HubError, RequestError
from zoo.hub.cache import cached_file, cached_names, drop_damaged, remember, remembered
from zoo.hub.connection import ATTRIBUTES, CLIENT_SETTINGS, Commit, api, endpoint, is_offline, require_reachable
from zoo.hub.refusals import transient_failure, translated
from zoo.models.layout import CARD, CONFIG, DENOISER, KNOWN_FILES, MANIFEST, ONNX, SIGNATURE, WEIGHTS
from zoo.models.spec import ModelSpec

ALL = (*sorted(KNOWN_FILES), MANIFEST, SIGNATURE)
DESCRIPTION = (SIGNATURE, MANIFEST, CONFIG, CARD)
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A commit and the names of its files to fetch; if `offline`, all of these files are in the cache."""

    commit: Commit
    names: tuple[str, ...]
    offline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDescription:
    """The description of a checkpoint on the Hub: config and card match the manifest, the weights are not fetched."""

    commit: Commit
    spec: ModelSpec
    directory: Path
    has_card: bool


@CLIENT_SETTINGS
def fetch(
    repository: str, *, revision: str | None = None, offline: bool = False, retrier: Retrier = DEFAULT_RETRIER
) -> tuple[Checkpoint, Commit]:
    """The checkpoint of one commit, in the cache, and that commit.

    A commit hash whose files are all cached needs no network. Offline, a branch or tag resolves to the commit that it
    named when it was last fetched.

    Args:
        repository: The repository id, `owner/name`.
        revision: A branch, a tag or a commit hash; None for the default branch.
        offline: Use only cached files.
        retrier: Retries transient failures.

    Raises: HubError; CheckpointError if the repository contains anything but a checkpoint, or a file differs from the
    manifest.
    """
    source = _resolve(repository, revision, wanted=ALL, offline=offline, retrier=retrier)
    directory = _obtain(source, retrier)
    with _dropping_damaged_files(source, directory):
        return open_checkpoint(directory), source.commit


@CLIENT_SETTINGS
def fetch_description(
    repository: str, *, revision: str | None = None, offline: bool = False, retrier: Retrier = DEFAULT_RETRIER
) -> RemoteDescription:
    """The description of the checkpoint of one commit; the weights are neither fetched nor checked.

    Args:
        repository: The repository id, `owner/name`.
        revision: A branch, a tag or a commit hash; None for the default branch.
        offline: Use only cached files.
        retrier: Retries transient failures.

    Raises: HubError; CheckpointError if the repository contains anything but a checkpoint, or the config or the card is
    damaged.
    """
    return describe(_resolve(repository, revision, wanted=DESCRIPTION, offline=offline, retrier=retrier), retrier)


def describe(source: Source, retrier: Retrier) -> RemoteDescription:
    """The description of a checkpoint whose commit is resolved already; see `fetch_description`."""
    directory = _obtain(source, retrier)
    with _dropping_damaged_files(source, directory):
        files = read_manifest(directory)
        for name in (CONFIG, *({CARD} & set(files))):
            _require_sha256(directory / name, files.get(name))
        return RemoteDescription(
            commit=source.commit, spec=read_spec(directory), directory=directory, has_card=CARD in files
        )


@CLIENT_SETTINGS
def download_file(repository: str, name: str, *, revision: str, retrier: Retrier = DEFAULT_RETRIER) -> Path:
    """The cached copy of one file of a repository at a commit, downloaded if missing. The content is not checked.

    Args:
        repository: The repository id, `owner/name`.
        name: The path of the file in the repository.
        revision: The commit hash.
        retrier: Retries transient failures.

    Raises: HubError.
    """
    commit = Commit(repository=repository, sha=revision, url="")
    with translated(repository, access="read"):
        if cached_file(commit, name) is None:
            require_reachable()
        return _download(commit, name, retrier)


def _resolve(
    repository: str, revision: str | None, *, wanted: Collection[str], offline: bool, retrier: Retrier
) -> Source:
    """The commit that a branch, tag or hash names now, from the cache if that suffices, else from the Hub."""
    offline = offline or is_offline()
    with translated(repository, access="read"):
        _require_revision(revision)
        last_fetched = remembered(repository, revision)
        names = None if last_fetched is None else cached_names(last_fetched, wanted=wanted)
        if last_fetched is not None and names is not None and (offline or last_fetched.sha == revision):
            return Source(commit=last_fetched, names=names, offline=offline)
        if offline:
            raise HubError(
                f"{repository}{_at(revision)} is not completely in the Hub client's cache, and network use is "
                "disabled: pull it once without --offline and HF_HUB_OFFLINE"
            )
        try:
            require_reachable()
        except HubError as error:
            if last_fetched is None or names is None:
                raise
            raise HubError(
                f"{error}. When last fetched, {repository}{_at(revision)} named commit {last_fetched.sha}, which is in "
                f"the cache: to use that commit, give {repository}@{last_fetched.sha}, or set HF_HUB_OFFLINE=1"
            ) from error
        info = retrier.call(lambda: api().model_info(repository, revision=revision), transient=transient_failure)
        if info.sha is None:
            raise HubError(f"the Hub's response names no commit of {repository}")
        commit = Commit(repository=repository, sha=info.sha, url=f"{endpoint()}/{repository}/tree/{info.sha}")
        source = source_of(commit, [sibling.rfilename for sibling in info.siblings or ()], wanted=wanted)
        remember(repository, revision, info.sha)
    return source


def source_of(commit: Commit, present: Collection[str], *, wanted: Collection[str]) -> Source:
    """The files of a commit to fetch: those in both `present`, the Hub's list, and `wanted`.

    Raises: CheckpointError if a present file is not a file of a checkpoint, or the manifest is missing. Nothing is
    fetched from such a repository.
    """
    where = f"{commit.repository}@{commit.sha[:12]}"
    for name in sorted(set(present) - {*ALL, ATTRIBUTES}):
        risk = ": it may be a pickle, and reading a pickle can run code" if name.endswith(PICKLES) else ""
        raise CheckpointError(
            f"{where} contains {name!r}, which is not a checkpoint file{risk}; nothing was downloaded"
        )
    if MANIFEST not in present:
        raise CheckpointError(
            f"{where} is not a checkpoint of this zoo: it contains no {MANIFEST}; nothing was downloaded"
        )
    names = {name for name in present if name in wanted}
    # The signature comes first: if a signed commit's manifest is cached, its signature is cached too.
    large = (WEIGHTS, DENOISER, ONNX)
    ordered = sorted(names, key=lambda name: (name != SIGNATURE, name != MANIFEST, name in large, name))
    return Source(commit=commit, names=tuple(ordered), offline=False)


def _obtain(source: Source, retrier: Retrier) -> Path:
    """The cached directory of the commit, with all files of `source`; missing files are downloaded."""
    commit = source.commit
    with translated(commit.repository, access="read"):
        missing = [name for name in source.names if cached_file(commit, name) is None]
        if missing:
            retrier.report(f"fetching {', '.join(missing)} of {commit.repository}@{commit.sha[:12]}")
        paths = [_download(commit, name, retrier) for name in source.names]
    return paths[0].parent


def _download(commit: Commit, name: str, retrier: Retrier) -> Path:
    """The cached copy, downloaded if it is missing; the client resumes interrupted downloads."""
    return Path(
        retrier.call(
            lambda: hf_hub_download(commit.repository, name, revision=commit.sha, endpoint=endpoint()),
            transient=transient_failure,
        )
    )


@contextmanager
def _dropping_damaged_files(source: Source, directory: Path) -> Iterator[None]:
    """Adds the commit to an error about its files; unless offline, removes damaged files from the cache."""
    try:
        yield
    except CheckpointError as error:
        dropped = not source.offline and drop_damaged(directory)
        remedy = (
            "; the damaged files were removed from the cache, so the next attempt downloads them" if dropped else ""
        )
        raise CheckpointError(f"{source.commit.repository}@{source.commit.sha[:12]}: {error}{remedy}") from error


def _require_sha256(path: Path, expected: str | None) -> None:
    if expected is None or not path.is_file():
        raise CheckpointError(f"{path} is missing, or {MANIFEST} does not list it")
    actual = sha256_of(path)
    if actual != expected:
        raise CheckpointError(f"{path} is damaged: SHA-256 is {actual}, {MANIFEST} says {expected}")


def _require_revision(revision: str | None) -> None:
    """Raises RequestError if `revision` is not a valid revision name: the cache uses the name as a file path."""
    if revision is not None and (revision.startswith("/") or ".." in revision or not revision.strip("/")):
        raise RequestError(f"{revision!r} is not a revision: expected a branch, a tag or a commit hash")


def _at(revision: str | None) -> str:
    return "" if revision is None else f"@{revision}"
