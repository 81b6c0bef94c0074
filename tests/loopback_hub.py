"""A Hugging Face Hub on the loopback interface, in memory, for tests.

The server implements the part of the protocol that a push and a pull of a model repository need, as huggingface_hub 2.4
uses it. It misbehaves on demand: it refuses, stays silent, drops an answer half-way, or serves other bytes than the
committed ones. The client must disable Xet (HF_HUB_DISABLE_XET=1), since uploads use plain LFS.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_card_rules import errors_in

LFS_SUFFIXES = (".safetensors", ".onnx", ".png", ".bin")
LFS_THRESHOLD = 10 * 1024**2
# One date for every commit, which makes answers independent of the clock.
DATE = "2026-01-01T00:00:00.000Z"


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class HubError(Exception):
    """The refusal of a request, with its HTTP answer."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = Answer(status, json.dumps({"error": message}).encode(), headers)


class Silence:
    """A fault: the request is never answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit, with all files of the repository at this commit."""

    oid: str
    parent: str | None
    title: str
    files: Mapping[str, bytes]


@dataclass(slots=True, kw_only=True)
class Repository:
    """A model repository with one branch, `main`; starts with a commit of .gitattributes, as on the Hub.

    `private` hides everything from all users but the owner, `gated` hides only the content of files. `pull_requests`
    are proposed commits. `tampered` maps paths to bytes that are served instead of the committed ones.
    """

    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    pull_requests: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    tampered: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        self.commit("initial commit", {".gitattributes": attributes.encode()})

    @property
    def owner(self) -> str:
        """The only user who may write."""
        return self.id.split("/")[0]

    @property
    def head(self) -> Commit:
        """The newest commit."""
        return self.commits[-1]

    def commit(self, title: str, changes: Mapping[str, bytes | None]) -> Commit:
        """The new head: the old one with `changes` applied, where None deletes a file."""
        self.commits.append(self.changed(title, changes))
        return self.head

    def propose(self, title: str, changes: Mapping[str, bytes | None]) -> Commit:
        """The commit of a new pull request on top of the head, which does not change."""
        self.pull_requests.append(self.changed(title, changes))
        return self.pull_requests[-1]

    def changed(self, title: str, changes: Mapping[str, bytes | None]) -> Commit:
        """A commit on top of the head that is not part of the repository yet."""
        parent, before = (self.head.oid, self.head.files) if self.commits else (None, {})
        files = {path: content for path, content in {**before, **changes}.items() if content is not None}
        blobs = sorted((path, git_oid(content)) for path, content in files.items())
        oid = hashlib.sha1(repr((self.id, parent, title, blobs)).encode()).hexdigest()
        return Commit(oid=oid, parent=parent, title=title, files=files)

    def resolve(self, revision: str) -> Commit:
        """The commit that `main`, a tag, `refs/pr/N` or a full commit id names."""
        if revision.startswith("refs/pr/") and int(revision.removeprefix("refs/pr/")) <= len(self.pull_requests):
            return self.pull_requests[int(revision.removeprefix("refs/pr/")) - 1]
        wanted = self.head.oid if revision == "main" else self.tags.get(revision, revision)
        for commit in (*self.commits, *self.pull_requests):
            if commit.oid == wanted:
                return commit
        raise HubError(404, "Invalid rev id", "RevisionNotFound")


class LoopbackHub:
    """A Hub on a free port, serving until the end of its `with` block.

    `tokens` maps a token to its user. `requests` lists (method, path without query) in order of arrival, and `ranges`
    the first bytes of requested parts of files. `refused_metadata` is a message with which the metadata of every card
    is refused; with None, the rules of `tests.hub_card_rules` apply.
    """

    def __init__(self, *, tokens: Mapping[str, str]) -> None:
        self.tokens = dict(tokens)
        self.repositories: dict[str, Repository] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[int] = []
        self.refused_metadata: str | None = None
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._faults: list[tuple[str, str, HubError | int | Silence]] = []
        self._server = _Server(("127.0.0.1", 0), partial(_Connection, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the server; a second call has no effect."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def repository(self, repo_id: str) -> Repository:
        """The repository with this id. Raises: KeyError if there is none."""
        return self.repositories[repo_id]

    def tamper(self, repo_id: str, path: str, content: bytes) -> None:
        """Serves `content` for `path` at every revision, with the size and hash of the committed content."""
        self.repositories[repo_id].tampered[path] = content

    def fail_next(
        self,
        method: str,
        path: str,
        *,
        status: int | None,
        times: int = 1,
        error_code: str | None = None,
        headers: Mapping[str, str] | None = None,
        after: int = 0,
    ) -> None:
        """Fails the next `times` requests of this method whose path contains `path`.

        The requests are answered with `status` and change nothing. With `status=None` they are processed, but the
        connection is closed after `after` bytes of the answer's body.
        """
        fault = after if status is None else HubError(status, "Injected fault", error_code, **(headers or {}))
        self._faults += [(method, path, fault)] * times

    def silence_next(self, method: str, path: str) -> None:
        """Never answers the next request of this method whose path contains `path`."""
        self._faults.append((method, path, Silence()))

    def take_fault(self, method: str, path: str) -> "HubError | int | Silence | None":
        """The fault for this request: an error, the bytes to send before closing, or silence; None if there is none."""
        for index, (fault_method, fragment, fault) in enumerate(self._faults):
            if fault_method == method and fragment in path:
                del self._faults[index]
                return fault
        return None


def git_oid(content: bytes) -> str:
    """The git blob id of the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(path: str, size: int) -> bool:
    """Whether a file goes through LFS; an empty file never does, since the client could not upload it."""
    return size > LFS_THRESHOLD or (size > 0 and path.endswith(LFS_SUFFIXES))


def file_entry(path: str, content: bytes) -> dict[str, Any]:
    """The tree entry of a file; for LFS, git holds a pointer to the object with the sha256."""
    size = len(content)
    if not is_lfs(path, size):
        return {"type": "file", "path": path, "size": size, "oid": git_oid(content)}
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    lfs = {"oid": sha256, "sha256": sha256, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": size, "oid": git_oid(pointer), "lfs": lfs}


def content_oid(path: str, content: bytes) -> str:
    """The id by which clients identify the content: sha256 for LFS, else the git blob id."""
    entry = file_entry(path, content)
    return str(entry.get("lfs", entry)["oid"])


def tree_entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """The entries of all files and of the folders above them, by path."""
    entries: dict[str, dict[str, Any]] = {}
    for path, content in sorted(commit.files.items()):
        for folder in map(str, PurePosixPath(path).parents[-2::-1]):
            entries[folder] = {"type": "directory", "path": folder, "oid": git_oid(folder.encode())}
        entries[path] = file_entry(path, content)
    return entries


class _Connection(BaseHTTPRequestHandler):
    """Serves one request; a method in ROUTES returns an Answer, or the JSON of the answer."""

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: LoopbackHub, *arguments: Any) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def respond(self) -> None:
        """Answers the request, or fails it with the fault that a test has set."""
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.hub.lock:
            self.hub.requests.append((self.command, url.path))
            fault = self.hub.take_fault(self.command, url.path)
        if isinstance(fault, Silence):
            self.hub.closing.wait()
            self.close_connection = True
            return
        with self.hub.lock:
            try:
                answer = fault.answer if isinstance(fault, HubError) else self.route(url.path)
            except HubError as error:
                answer = error.answer
        self.send(answer, limit=fault if isinstance(fault, int) else None)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def route(self, path: str) -> Answer:
        """The answer of the matching route; a path without a commit means `main`."""
        for method, pattern, writes, function in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command.replace("HEAD", "GET"):
                values: dict[str, Any] = {name: unquote(text) for name, text in match.groupdict("main").items()}
                if "repository" in values:
                    proposes = self.query.get("create_pr") == ["1"]
                    values["repository"] = self.authorized(values["repository"], writes=writes, proposes=proposes)
                if "commit" in values:
                    values["commit"] = values["repository"].resolve(values["commit"])
                value = function(self, **values)
                return value if isinstance(value, Answer) else Answer(200, json.dumps(value).encode(), {})
        raise HubError(404, f"No such route: {self.command} {path}")

    def send(self, answer: Answer, *, limit: int | None) -> None:
        """Sends the answer, or only `limit` bytes of its body, and closes the connection."""
        self.send_response(answer.status)
        # A kept-alive connection would stay open after the server is closed.
        headers = {"Content-Length": str(len(answer.body)), "Connection": "close", **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:limit])

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps request logs out of the test output."""

    def user(self) -> str | None:
        """The user of the request's token; None without a token."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def require_user(self, owner: str | None = None) -> str:
        """The user of the request. Raises: HubError without a token, or if the user is not the given `owner`."""
        user = self.user()
        if user is None:
            raise HubError(401, "This needs a token")
        if owner not in (None, user):
            raise HubError(403, f"Only {owner} may write here")
        return user

    def authorized(self, repo_id: str, *, writes: bool, proposes: bool) -> Repository:
        """The repository, if it exists and the user may read or write it; any user may open a pull request."""
        if writes:
            # An LFS upload does not say whether it belongs to a commit or a pull request, so any user may upload.
            is_shared = proposes or ".git/info/lfs/" in self.path
            self.require_user(None if is_shared else repo_id.split("/")[0])
        user = self.user()
        repository = self.hub.repositories.get(repo_id)
        # The same answer for both cases: the Hub does not reveal whether a private repository exists.
        if repository is None or (repository.private and user != repository.owner):
            raise HubError(401 if user is None else 404, "Repository not found", "RepoNotFound")
        return repository

    def whoami(self) -> object:
        user = self.require_user()
        token = {"displayName": "loopback", "role": "write"}
        return {"type": "user", "name": user, "fullname": user, "orgs": [], "auth": {"accessToken": token}}

    def create(self) -> object:
        request = json.loads(self.body)
        repo_id = f"{self.require_user(request.get('organization'))}/{request['name']}"
        url = f"{self.hub.endpoint}/{repo_id}"
        if repo_id in self.hub.repositories:
            # With exist_ok=True the client reads the address from the refusal.
            return Answer(409, json.dumps({"error": "It exists already", "url": url}).encode(), {})
        private = request.get("visibility") == "private"
        self.hub.repositories[repo_id] = Repository(id=repo_id, private=private)
        return {"url": url}

    def delete(self) -> object:
        request = json.loads(self.body)
        repository = self.authorized(f"{request['organization']}/{request['name']}", writes=True, proposes=False)
        del self.hub.repositories[repository.id]
        return {}

    def validate_yaml(self) -> object:
        refused = self.hub.refused_metadata
        messages = errors_in(json.loads(self.body)["content"]) if refused is None else [refused]
        report = {"errors": [{"message": message} for message in messages], "warnings": []}
        return Answer(400, json.dumps(report).encode(), {}) if messages else report

    def models(self) -> object:
        """The repositories that the user may see, filtered by owner if the request names one."""
        (owner,) = self.query.get("author", [None])
        user = self.user()
        seen = [
            repository
            for repository in self.hub.repositories.values()
            if owner in (None, repository.owner) and (not repository.private or user == repository.owner)
        ]
        limit = int(self.query["limit"][0]) if "limit" in self.query else None
        return [self.info(repository, repository.head) for repository in seen[:limit]]

    def preupload(self, repository: Repository, commit: Commit) -> object:
        files = []
        for path, size in ((file["path"], file["size"]) for file in json.loads(self.body)["files"]):
            mode = "lfs" if is_lfs(path, size) else "regular"
            oid = content_oid(path, commit.files[path]) if path in commit.files else None
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": files}

    def lfs_batch(self, repository: Repository) -> object:
        base = f"{self.hub.endpoint}/{repository.id}.git/info/lfs/objects"
        objects = json.loads(self.body)["objects"]
        for entry in (entry for entry in objects if entry["oid"] not in self.hub.lfs_objects):
            upload, verify = ({"href": f"{base}/{name}", "header": {}} for name in (entry["oid"], "verify"))
            entry["actions"] = {"upload": upload, "verify": verify}
        return {"transfer": "basic", "objects": objects}

    def lfs_upload(self, oid: str) -> object:
        # The request has no token: on the real Hub, this is a signed address of a storage server.
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(400, "The content does not hash to the object's id")
        self.hub.lfs_objects[oid] = self.body
        return {}

    def lfs_verify(self, repository: Repository) -> object:
        self.lfs_object(json.loads(self.body))
        return {}

    def lfs_object(self, pointer: Mapping[str, Any]) -> bytes:
        """The uploaded content with the sha256 and size of a pointer."""
        content = self.hub.lfs_objects.get(pointer["oid"])
        if content is None or len(content) != pointer["size"]:
            raise HubError(400, f"LFS object {pointer['oid']} was not uploaded")
        return content

    def commit(self, repository: Repository) -> object:
        header, *operations = (json.loads(line) for line in self.body.splitlines())
        if header["value"].get("parentCommit") not in (None, repository.head.oid):
            raise HubError(412, "The branch has moved on from the parent commit")
        changes = self.changes(operations, repository.head.files)
        proposes = self.query.get("create_pr") == ["1"]
        oid = (repository.propose if proposes else repository.commit)(header["value"]["summary"], changes).oid
        page = f"{self.hub.endpoint}/{repository.id}"
        answer: dict[str, object] = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}"}
        if proposes:
            answer["pullRequestUrl"] = f"{page}/discussions/{len(repository.pull_requests)}"
        return answer

    def changes(self, operations: Iterable[dict[str, Any]], files: Iterable[str]) -> dict[str, bytes | None]:
        """New content by path, None where a file or folder is deleted."""
        changes: dict[str, bytes | None] = {}
        for kind, value in ((operation["key"], operation["value"]) for operation in operations):
            path = value["path"]
            if kind == "file":
                changes[path] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                changes[path] = self.lfs_object(value)
            else:
                gone = [name for name in files if f"{name}/".startswith(path.rstrip("/") + "/")]
                if not gone:
                    raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
                changes |= dict.fromkeys(gone)
        return changes

    def info(self, repository: Repository, commit: Commit) -> object:
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
        for sibling in siblings if "blobs" in self.query else ():
            entry = file_entry(sibling["rfilename"], commit.files[sibling["rfilename"]])
            sibling.update(entry, blobId=entry["oid"])
        gated = "manual" if repository.gated else False
        facts = {"id": repository.id, "author": repository.owner, "sha": commit.oid, "lastModified": DATE}
        return {**facts, "private": repository.private, "gated": gated, "tags": [], "siblings": siblings}

    def tree(self, repository: Repository, commit: Commit, folder: str) -> object:
        prefix = f"{folder}/" if folder else ""
        below = {path: entry for path, entry in tree_entries(commit).items() if path.startswith(prefix)}
        if folder and not below:
            raise HubError(404, "Folder not found", "EntryNotFound")
        recursive = self.query.get("recursive") == ["true"]
        return [entry for path, entry in below.items() if recursive or "/" not in path.removeprefix(prefix)]

    def paths_info(self, repository: Repository, commit: Commit) -> object:
        entries = tree_entries(commit)
        return [entries[path] for path in parse_qs(self.body.decode())["paths"] if path in entries]

    def refs(self, repository: Repository) -> object:
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head.oid}
        tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": oid} for t, oid in repository.tags.items()]
        return {"branches": [branch], "converts": [], "tags": tags}

    def commits(self, repository: Repository, commit: Commit) -> object:
        history = repository.commits[repository.commits.index(commit) :: -1]
        facts = {"message": "", "authors": [{"user": repository.owner}], "date": DATE}
        return [{"id": entry.oid, "title": entry.title, **facts} for entry in history]

    def create_tag(self, repository: Repository, commit: Commit) -> object:
        tag = json.loads(self.body)["tag"]
        if tag in repository.tags:
            raise HubError(409, "The tag exists already")
        repository.tags[tag] = commit.oid
        return {}

    def delete_tag(self, repository: Repository, tag: str) -> object:
        if repository.tags.pop(tag, None) is None:
            raise HubError(404, "Tag not found", "RevisionNotFound")
        return {}

    def resolve(self, repository: Repository, commit: Commit, path: str) -> Answer:
        if repository.gated and self.user() != repository.owner:
            raise HubError(403, f"Access to {repository.id} is restricted", "GatedRepo")
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", **headers)
        content = commit.files[path]
        headers["ETag"] = f'"{content_oid(path, content)}"'
        if is_lfs(path, len(content)):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        if self.command == "HEAD":
            return Answer(200, content, headers)
        content = repository.tampered.get(path, content)
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if span is None or int(span[1]) >= len(content):
            return Answer(200, content, headers)
        self.hub.ranges.append(int(span[1]))
        headers["Content-Range"] = f"bytes {span[1]}-{len(content) - 1}/{len(content)}"
        return Answer(206, content[int(span[1]) :], headers)


REPOSITORY, COMMIT = "(?P<repository>[^/]+/[^/]+)", "(?P<commit>[^/]+)"
MODEL, LFS = f"/api/models/{REPOSITORY}", rf"/{REPOSITORY}\.git/info/lfs/objects"
# Method, path, whether it writes to the repository, and the method that answers.
ROUTES: tuple[tuple[str, str, bool, Callable[..., object]], ...] = (
    ("GET", "/api/whoami-v2", False, _Connection.whoami),
    ("POST", "/api/repos/create", False, _Connection.create),
    ("DELETE", "/api/repos/delete", False, _Connection.delete),
    ("POST", "/api/validate-yaml", False, _Connection.validate_yaml),
    ("GET", "/api/models", False, _Connection.models),
    ("POST", f"{MODEL}/preupload/{COMMIT}", True, _Connection.preupload),
    ("POST", f"{LFS}/batch", True, _Connection.lfs_batch),
    ("PUT", r"/.+\.git/info/lfs/objects/(?P<oid>[^/]+)", False, _Connection.lfs_upload),
    ("POST", f"{LFS}/verify", True, _Connection.lfs_verify),
    ("POST", f"{MODEL}/commit/main", True, _Connection.commit),
    ("GET", f"{MODEL}(?:/revision/{COMMIT})?", False, _Connection.info),
    ("GET", f"{MODEL}/tree/{COMMIT}/?(?P<folder>.*)", False, _Connection.tree),
    ("POST", f"{MODEL}/paths-info/{COMMIT}", False, _Connection.paths_info),
    ("GET", f"{MODEL}/refs", False, _Connection.refs),
    ("GET", f"{MODEL}/commits/{COMMIT}", False, _Connection.commits),
    ("POST", f"{MODEL}/tag/{COMMIT}", True, _Connection.create_tag),
    ("DELETE", f"{MODEL}/tag/(?P<tag>[^/]+)", True, _Connection.delete_tag),
    ("GET", f"/{REPOSITORY}/resolve/{COMMIT}/(?P<path>.+)", False, _Connection.resolve),
)


class _Server(ThreadingHTTPServer):
    """A threading server that joins its threads when it is closed."""

    daemon_threads = False
    # snapshot_download connects from eight threads at once; the default backlog is five.
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports defects of this file, but not clients that close the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
