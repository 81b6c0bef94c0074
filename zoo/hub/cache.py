"""Access to the files of a commit in the Hub client's own file cache."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionResolutionError
from huggingface_hub.file_download import repo_folder_name

from zoo.checkpoints.checkpoint import read_manifest, sha256_of
from zoo.errors import CheckpointError
from zoo.host.atomic_write import write_atomically
from zoo.hub.connection import Commit, api, endpoint
from zoo.models.layout import MANIFEST, SIGNATURE


def cached_file(commit: Commit, name: str) -> Path | None:
    """The cached copy of a file, or None if the file is not cached. The content is not checked."""
    try:
        return Path(hf_hub_download(commit.repository, name, revision=commit.sha, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def cached_names(commit: Commit, *, wanted: Collection[str]) -> tuple[str, ...] | None:
    """The names of the checkpoint's files that are in `wanted` if all of them are cached, else None."""
    manifest = cached_file(commit, MANIFEST)
    if manifest is None:
        return None
    try:
        names = tuple(name for name in (*read_manifest(manifest.parent), MANIFEST) if name in wanted)
    except CheckpointError:  # a damaged manifest counts as missing
        return None
    if any(cached_file(commit, name) is None for name in names):
        return None
    # The signature is fetched before the manifest: if it is not cached, the commit has no signature.
    signed = SIGNATURE in wanted and cached_file(commit, SIGNATURE) is not None
    return (*names, SIGNATURE) if signed else names


def remembered(repository: str, revision: str | None) -> Commit | None:
    """The commit that a branch or tag named when it was last fetched, or None; a commit hash names itself."""
    try:
        sha = api().resolve_revision(repository, revision=revision, local_files_only=True).resolved
    except RevisionResolutionError:
        return None
    return Commit(repository=repository, sha=sha, url=f"{endpoint()}/{repository}/tree/{sha}")


def remember(repository: str, revision: str | None, sha: str) -> None:
    """Records the commit that a branch or tag names now, in the client's own file for that branch or tag."""
    if revision == sha:
        return
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "refs"
    record = folder / PurePosixPath(revision or constants.DEFAULT_REVISION)
    write_atomically(record, sha)


def drop_damaged(directory: Path) -> bool:
    """Removes the files of a cached commit that differ from its manifest; True if there were any."""
    try:
        files = read_manifest(directory)
    except CheckpointError:
        files = {MANIFEST: ""}
    paths = {directory / name: expected for name, expected in files.items()}
    damaged = [path for path, expected in paths.items() if path.is_file() and sha256_of(path) != expected]
    for path in damaged:
        blob = path.parent / path.readlink() if path.is_symlink() else path
        path.unlink()
        blob.unlink(missing_ok=True)
    return bool(damaged)
