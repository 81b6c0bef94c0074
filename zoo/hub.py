"""The Hugging Face Hub: push as one commit, pull pinned to one. The only module that imports huggingface_hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from zoo.checkpoint import Checkpoint, open_checkpoint
from zoo.errors import HubError, RequestError

TIMEOUT_SECONDS = 10.0
CONFLICT = 412


@dataclass(frozen=True, slots=True)
class Commit:
    """A pushed or pulled state of a repository; `sha` is the only name of it that cannot be moved."""

    repository: str
    sha: str
    url: str


def push(checkpoint: Checkpoint, repository: str, *, private: bool = False, message: str | None = None) -> Commit:
    """Makes the repository hold exactly the checkpoint's files, in one commit on top of the head that was seen.

    Raises: HubError; where somebody pushed in between, nothing has changed on the Hub.
    """
    api = _api()
    with _translated(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        info = api.model_info(repository, timeout=TIMEOUT_SECONDS)
        names = sorted(checkpoint.published_files)
        present = {sibling.rfilename for sibling in info.siblings or ()}
        stale = sorted(name for name in present - set(names) if name != ".gitattributes")
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=checkpoint.path / name) for name in names),
            *(CommitOperationDelete(path_in_repo=name) for name in stale),
        ]
        commit = api.create_commit(
            repository,
            operations=operations,
            commit_message=message or f"Publish {checkpoint.spec.name}",
            parent_commit=info.sha,
        )
        return Commit(repository=repository, sha=commit.oid, url=str(commit.repo_url))


def pull(repository: str, directory: Path, *, revision: str | None = None) -> tuple[Checkpoint, Commit]:
    """Downloads one commit into a new directory, which appears only when every byte was found to be the manifest's.

    Raises: HubError; RequestError if the directory exists; CheckpointError if a file is not what its manifest says.
    """
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir()) or directory == Path.cwd()):
        raise RequestError(f"{directory} exists and is not an empty directory elsewhere: choose a new one")
    commit = resolve(repository, revision=revision)
    source = _download(commit)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        raise RequestError(f"cannot make {directory}: {error.strerror or error}") from error
    try:
        for name in open_checkpoint(source).published_files:
            shutil.copyfile(source / name, temporary / name)
        open_checkpoint(temporary)
        temporary.chmod(0o755)
        temporary.replace(directory)
    except OSError as error:
        raise HubError(f"cannot write {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_checkpoint(directory), commit


def snapshot(repository: str, *, revision: str | None = None) -> Path:
    """The cached directory of one commit of a repository. Raises: HubError."""
    return _download(resolve(repository, revision=revision))


def download_file(repository: str, name: str, *, revision: str) -> Path:
    """The cached copy of one file of a repository at a commit. Raises: HubError."""
    disable_progress_bars()
    with _translated(repository):
        return Path(hf_hub_download(repository, name, revision=revision, endpoint=_endpoint()))


def resolve(repository: str, *, revision: str | None = None) -> Commit:
    """The commit that a branch, tag or hash names now. Raises: HubError."""
    api = _api()
    with _translated(repository):
        sha = api.model_info(repository, revision=revision, timeout=TIMEOUT_SECONDS).sha
    if sha is None:
        raise HubError(f"the Hub named no commit for {repository}")
    return Commit(repository=repository, sha=sha, url=f"{api.endpoint}/{repository}")


def _download(commit: Commit) -> Path:
    with _translated(commit.repository):
        return Path(snapshot_download(commit.repository, revision=commit.sha, endpoint=_endpoint()))


def _api() -> HfApi:
    disable_progress_bars()
    return HfApi(endpoint=_endpoint())


def _endpoint() -> str | None:
    """HF_ENDPOINT as it is now; huggingface_hub reads it once, at import."""
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def _translated(repository: str) -> Iterator[None]:
    """Turns every error of the client into one sentence that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: ask for access on its page, then log in with an account that has it"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{repository} does not exist on the Hub, or is private and this token may not see it"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(f"{repository} has no such revision: {_short(error)}") from error
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise HubError(f"cannot reach the Hub, and {repository} is not wholly in the local cache") from error
        raise HubError(f"{repository} lacks a file: {_short(error)}") from error
    except HfHubHTTPError as error:
        raise HubError(_explain_status(repository, error)) from error
    except HFValidationError as error:
        raise HubError(f"{repository!r} is no repository id of the form owner/name: {_short(error)}") from error
    except ValueError as error:
        raise HubError(f"the Hub refused a file of {repository}, nothing was committed: {_short(error)}") from error
    except LocalTokenNotFoundError as error:
        raise HubError("no Hub token: run `hf auth login` or set HF_TOKEN") from error
    except OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set, and this needs the Hub: unset it or use a local directory") from error
    except RuntimeError as error:  # a failed upload of a large file, wrapped by the client
        raise HubError(f"the upload to {repository} failed, nothing was committed: {_short(error)}") from error
    except httpx2.HTTPError as error:
        raise HubError(f"cannot reach the Hub at {_endpoint() or ENDPOINT}: {_short(error)}") from error
    except OSError as error:
        raise HubError(f"cannot read or write a file: {_short(error)}") from error


def _explain_status(repository: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    known = {
        401: "the Hub does not accept this token: run `hf auth login` or set HF_TOKEN",
        403: f"this token may not write to {repository}: use one with write access to that owner",
        CONFLICT: f"someone pushed first: nothing of {repository} was changed; look at what is new, then push again",
        429: "the Hub asks to slow down: wait some minutes and try again",
    }
    return known.get(status, f"the Hub answered {status} for {repository}: {_short(error)}")


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
