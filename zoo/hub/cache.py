"""What the cache of the Hub's files, which is the client's own, holds of a commit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionResolutionError
from huggingface_hub.file_download import repo_folder_name

from zoo.checkpoints.checkpoint import read_manifest, sha256_of
from zoo.errors import CheckpointError
from zoo.filesystem.atomic_write import write_atomically
from zoo.hub.connection import Commit, api, endpoint
from zoo.models.layout import MANIFEST, SIGNATURE


def cached_file(commit: Commit, name: str) -> Path | None:
    """The cached copy of a file, None if there is none. Nothing is checked."""
    try:
        return Path(hf_hub_download(commit.repository, name, revision=commit.sha, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def cached_names(commit: Commit, *, wanted: Collection[str]) -> tuple[str, ...] | None:
    """The names of the wanted ones of the checkpoint's files if all of them are cached, else None."""
    manifest = cached_file(commit, MANIFEST)
    if manifest is None:
        return None
    try:
        names = tuple(name for name in (*read_manifest(manifest.parent), MANIFEST) if name in wanted)
    except CheckpointError:  # damaged, so that it is as good as not there
        return None
    if any(cached_file(commit, name) is None for name in names):
        return None
    # The signature is fetched before the manifest: where it is not, there was none.
    signed = SIGNATURE in wanted and cached_file(commit, SIGNATURE) is not None
    return (*names, SIGNATURE) if signed else names


def remembered(repository: str, revision: str | None) -> Commit | None:
    """The commit that a branch or tag was when it was last fetched; a commit's own hash is always itself."""
    try:
        sha = api().resolve_revision(repository, revision=revision, local_files_only=True).resolved
    except RevisionResolutionError:
        return None
    return Commit(repository=repository, sha=sha, url=f"{endpoint()}/{repository}/tree/{sha}")


def remember(repository: str, revision: str | None, sha: str) -> None:
    """Notes what a branch or tag is now, where the client itself would note and look for it."""
    if revision == sha:
        return
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "refs"
    note = folder / PurePosixPath(revision or constants.DEFAULT_REVISION)
    write_atomically(note, sha)


def drop_damaged(directory: Path) -> bool:
    """Takes the files of a cached commit that are not their manifest's out of the cache; whether there were any."""
    try:
        files = read_manifest(directory)
    except CheckpointError:
        files = {MANIFEST: ""}
    paths = {directory / name: expected for name, expected in files.items()}
    damaged = [path for path, expected in paths.items() if path.is_file() and sha256_of(path) != expected]
    for path in damaged:
        content = path.parent / path.readlink() if path.is_symlink() else path
        path.unlink()
        content.unlink(missing_ok=True)
    return bool(damaged)
