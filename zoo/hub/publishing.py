"""Pushes a checkpoint: one commit on top of the last seen head replaces the repository's contents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.download.retry import DEFAULT_RETRIER, Result, Retrier, TransientFailure
from zoo.errors import HubError, RequestError
from zoo.hub.connection import ATTRIBUTES, CLIENT_SETTINGS, Commit, api, require_reachable, require_token
from zoo.hub.refusals import CONFLICT, TOO_MANY_REQUESTS, refusal, transient_failure, translated

TAG = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed(Commit):
    """The result of a push. `changed` is False if the repository already contained exactly these files."""

    changed: bool
    tags: tuple[str, ...] = ()
    pull_request: str | None = None


@CLIENT_SETTINGS
def push(
    checkpoint: Checkpoint,
    repository: str,
    *,
    private: bool | None = None,
    create_pr: bool = False,
    tags: Sequence[str] = (),
    message: str | None = None,
    retrier: Retrier = DEFAULT_RETRIER,
) -> Pushed:
    """Replaces the repository's contents with the checkpoint's files in one commit; creates the repository if missing.

    Args:
        checkpoint: The checkpoint to publish.
        repository: The repository id, `owner/name`.
        private: Visibility of a new repository, None for the owner's default; an existing repository must match it.
        create_pr: Open a pull request with the commit instead; the repository must exist.
        tags: Tags to create for the commit after it is made. A tag may exist only if the push changes no file and the
            tag names the head already.
        message: The commit message, `Publish NAME` by default.
        retrier: Retries transient failures.

    Raises: HubError; if another user pushed in between, this push has changed nothing on the Hub. RequestError.
    """
    _require_valid_tags(tags, create_pr=create_pr)
    with translated(repository, access="write"):
        require_token()
        require_reachable()
        target = _Target(api(), repository, retrier)
        head = target.head_or_new(private=private, may_create=not create_pr)
        present_tags = target.with_retries(target.tags) if tags else {}
        unchanged = _matches(head, checkpoint)
        if taken := [tag for tag in tags if tag in present_tags and not (unchanged and present_tags[tag] == head.sha)]:
            raise HubError(
                f"{repository} already has the tag {taken[0]}, at commit {present_tags[taken[0]][:12]}: nothing was "
                f"pushed; choose another tag, or delete that tag: hf repos tag delete {repository} {taken[0]}"
            )
        pull_request = None
        sha = _sha(head)
        if not unchanged and create_pr:
            sha, pull_request = target.propose(head, checkpoint, message)
        elif not unchanged:
            sha = target.commit(head, checkpoint, message)
        for tag in tags:
            if tag not in present_tags:
                target.tag(tag, sha)
    return Pushed(
        repository=repository,
        sha=sha,
        url=f"{target.api.endpoint}/{repository}/commit/{sha}",
        changed=not unchanged,
        tags=tuple(tags),
        pull_request=pull_request,
    )


@dataclass(frozen=True, slots=True)
class _Target:
    """The requests to one repository, with retries: the client itself does not retry."""

    api: HfApi
    repository: str
    retrier: Retrier

    def head(self) -> ModelInfo:
        """The current head of the repository, with the hashes of its files."""
        return self.api.model_info(self.repository, files_metadata=True)

    def head_or_new(self, *, private: bool | None, may_create: bool) -> ModelInfo:
        """The head of the repository, which is created if missing; transient failures are retried."""
        try:
            head = self.with_retries(self.head)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            if not may_create:
                raise
            self.with_retries(lambda: self.api.create_repo(self.repository, private=private, exist_ok=True))
            head = self.with_retries(self.head)
        if private is not None and bool(head.private) != private:
            visibility, option = ("private", "--public") if head.private else ("public", "--private")
            raise RequestError(
                f"{self.repository} exists and is {visibility}: {option} applies only to a new repository; nothing was "
                f"pushed. Omit {option}, or change the repository's visibility on its settings page"
            )
        return head

    def tags(self) -> dict[str, str]:
        """The commit hash of each tag, by tag name."""
        return {tag.name: tag.target_commit for tag in self.api.list_repo_refs(self.repository).tags}

    def commit(self, head: ModelInfo, checkpoint: Checkpoint, message: str | None) -> str:
        """Commits on top of `head` and returns the hash. A retry after a lost response does not commit twice."""
        may_be_committed = False

        def attempt() -> str:
            nonlocal may_be_committed
            try:
                return str(self._create(head, checkpoint, message).oid)
            except (httpx2.HTTPError, json.JSONDecodeError) as error:
                is_conflict = _status(error) == CONFLICT
                if not is_conflict and (transient_failure(error) is None or _status(error) == TOO_MANY_REQUESTS):
                    raise
                may_be_committed |= not is_conflict
                new_head = self.head()
                if may_be_committed and _matches(new_head, checkpoint):  # the head is this push's own commit
                    return _sha(new_head)
                if new_head.sha != head.sha:
                    raise HubError(self._conflict(new_head, may_be_committed=may_be_committed)) from error
                raise

        self.retrier.report(_announce(checkpoint, self.repository))
        return self.with_retries(attempt)

    def _conflict(self, new_head: ModelInfo, *, may_be_committed: bool) -> str:
        """The message for a head that another user's push has changed."""
        page = f"{self.api.endpoint}/{self.repository}/commits/main"
        if may_be_committed:
            return (
                f"another user pushed {_sha(new_head)[:12]} at the same time, and it is unknown whether this push was "
                f"committed before that: check {page}, then push again"
            )
        return (
            f"another user pushed first: this push changed nothing in {self.repository}, whose head is now "
            f"{_sha(new_head)[:12]}; check {page}, then push again"
        )

    def propose(self, head: ModelInfo, checkpoint: Checkpoint, message: str | None) -> tuple[str, str | None]:
        """Opens a pull request; returns its commit's hash and its URL."""

        def only_refused(error: Exception) -> TransientFailure | None:
            """The request is not idempotent: it is retried only if the server certainly refused it."""
            return transient_failure(error) if _status(error) == TOO_MANY_REQUESTS else None

        self.retrier.report(_announce(checkpoint, self.repository))
        try:
            commit = self.retrier.call(
                lambda: self._create(head, checkpoint, message, create_pr=True), transient=only_refused
            )
        except (httpx2.HTTPError, json.JSONDecodeError) as error:
            if transient_failure(error) is None or _status(error) == TOO_MANY_REQUESTS:
                raise
            reason = refusal(self.repository, error, access="write")
            raise HubError(
                f"{reason}. It is unknown whether the pull request was opened: check "
                f"{self.api.endpoint}/{self.repository}/discussions before you push again"
            ) from error
        return str(commit.oid), commit.pr_url

    def tag(self, name: str, sha: str) -> None:
        """Creates the tag for the commit `sha`."""

        def attempt() -> None:
            try:
                self.api.create_tag(self.repository, tag=name, revision=sha)
            except (httpx2.HTTPError, json.JSONDecodeError):
                if self.tags().get(name) != sha:  # the tag exists if only the response was lost
                    raise

        try:
            self.with_retries(attempt)
        except (httpx2.HTTPError, json.JSONDecodeError) as error:
            reason = refusal(self.repository, error, access="write")
            raise HubError(
                f"pushed {self.repository}@{sha}, but could not create the tag {name}: {reason}. "
                "Push again with the same --tag; the pushed commit stays as it is"
            ) from error

    def _create(
        self, head: ModelInfo, checkpoint: Checkpoint, message: str | None, *, create_pr: bool = False
    ) -> CommitInfo:
        return self.api.create_commit(
            self.repository,
            operations=_operations(head, checkpoint),
            commit_message=message or f"Publish {checkpoint.spec.name}",
            parent_commit=head.sha,
            create_pr=create_pr,
        )

    def with_retries(self, call: Callable[[], Result]) -> Result:
        """The return value of `call`; transient failures are retried."""
        return self.retrier.call(call, transient=transient_failure)


def _require_valid_tags(tags: Sequence[str], *, create_pr: bool) -> None:
    for tag in tags:
        if not TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock")):
            raise RequestError(
                f"--tag {tag!r} is not a tag name: expected letters, digits, '.', '_', '+' and '-', such as v1.0"
            )
    if tags and create_pr:
        raise RequestError(
            "--tag names a commit of the main branch, and --create-pr adds none: create the tag after the merge"
        )


def _operations(head: ModelInfo, checkpoint: Checkpoint) -> list[CommitOperationAdd | CommitOperationDelete]:
    """The operations that add every published file and delete every other file."""
    names = checkpoint.published_files
    stale = {sibling.rfilename for sibling in head.siblings or ()} - {*names, ATTRIBUTES}
    return [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=checkpoint.path / name) for name in names),
        *(CommitOperationDelete(path_in_repo=name) for name in sorted(stale)),
    ]


def _matches(head: ModelInfo, checkpoint: Checkpoint) -> bool:
    """True if the head consists of exactly the checkpoint's files, by the hashes that the Hub reports."""
    present = {file.rfilename: file for file in head.siblings or () if file.rfilename != ATTRIBUTES}
    if set(present) != set(checkpoint.published_files):
        return False
    for name, file in present.items():
        path = checkpoint.path / name
        if file.lfs is None:
            same = file.blob_id == _git_blob_id(path)
        elif name in checkpoint.files:
            same = file.lfs.sha256 == checkpoint.files[name]
        else:
            same = file.lfs.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        if not same:
            return False
    return True


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha(head: ModelInfo) -> str:
    if head.sha is None:
        raise HubError(f"the Hub's response names no commit of {head.id}")
    return head.sha


def _status(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _announce(checkpoint: Checkpoint, repository: str) -> str:
    size = sum((checkpoint.path / name).stat().st_size for name in checkpoint.published_files)
    return f"pushing {len(checkpoint.published_files)} files, {size / 1e6:.1f} MB, to {repository}"
