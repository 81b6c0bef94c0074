"""The loopback Hub works with the real client, and fails on demand."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub.constants
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.loopback_hub import LoopbackHub

# httpx2 warns once per LFS upload, which huggingface_hub sends as `data=`.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

REPO = "alice/digits"
CONFIG = b'{"architecture": "lenet"}'
WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(tokens={"hf_secret": "alice", "hf_other": "bob"}) as hub:
        yield hub


@pytest.fixture
def alice(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_secret")


@pytest.fixture
def stranger(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def push(api: HfApi, *, parent_commit: str | None = None) -> str:
    """Pushes the configuration and the weights in one commit; returns the commit's id."""
    api.create_repo(REPO, exist_ok=True)
    operations = [
        CommitOperationAdd("config.json", CONFIG),
        CommitOperationAdd("model.safetensors", WEIGHTS),
    ]
    return api.create_commit(REPO, operations, commit_message="Add model", parent_commit=parent_commit).oid


def test_a_push_is_one_commit_with_a_regular_and_an_lfs_file(hub, alice):
    commit = push(alice)
    first, second = hub.repository(REPO).commits
    assert (second.oid, second.parent, second.title) == (commit, first.oid, "Add model")
    assert second.files == {**first.files, "config.json": CONFIG, "model.safetensors": WEIGHTS}
    assert list(hub.lfs_objects.values()) == [WEIGHTS]
    assert hub.requests == [
        ("POST", "/api/repos/create"),
        ("POST", "/api/models/alice/digits/preupload/main"),
        ("POST", "/alice/digits.git/info/lfs/objects/batch"),
        ("PUT", f"/alice/digits.git/info/lfs/objects/{next(iter(hub.lfs_objects))}"),
        ("POST", "/alice/digits.git/info/lfs/objects/verify"),
        ("POST", "/api/models/alice/digits/commit/main"),
    ]


def test_an_unchanged_push_makes_no_commit(hub, alice):
    assert push(alice) == push(alice)
    assert len(hub.repository(REPO).commits) == 2


def test_a_stale_parent_commit_is_refused_and_changes_nothing(hub, alice):
    alice.create_repo(REPO)
    parent = hub.repository(REPO).head.oid
    winner = hub.repository(REPO).commit("Somebody else's push", {"notes.txt": b"first"})
    with pytest.raises(HfHubHTTPError) as error:
        push(alice, parent_commit=parent)
    assert error.value.response.status_code == 412
    assert hub.repository(REPO).head == winner
    assert push(alice, parent_commit=winner.oid) == hub.repository(REPO).head.oid


def test_a_commit_without_its_lfs_object_is_refused(hub, alice):
    alice.create_repo(REPO)
    weights = CommitOperationAdd("model.safetensors", WEIGHTS)
    alice.preupload_lfs_files(REPO, [weights], free_memory=False)
    hub.lfs_objects.clear()
    with pytest.raises(BadRequestError):
        alice.create_commit(REPO, [weights], commit_message="Add model")
    assert len(hub.repository(REPO).commits) == 1


def test_a_commit_deletes_files_and_folders(hub, alice):
    push(alice)
    hub.repository(REPO).commit("Add runs", {"runs/a/log.txt": b"a", "runs/b.txt": b"b"})
    operations = [CommitOperationDelete("config.json"), CommitOperationDelete("runs/")]
    alice.create_commit(REPO, operations, commit_message="Delete")
    assert set(hub.repository(REPO).head.files) == {".gitattributes", "model.safetensors"}
    with pytest.raises(RemoteEntryNotFoundError):
        alice.create_commit(REPO, [CommitOperationDelete("config.json")], commit_message="Again")


def test_model_information_names_commit_files_and_hashes(hub, alice, stranger):
    commit = push(alice)
    information = stranger.model_info(REPO, files_metadata=True)
    assert information.sha == commit and not information.private and information.gated is False
    weights = next(file for file in information.siblings if file.rfilename == "model.safetensors")
    assert weights.size == len(WEIGHTS) and weights.lfs.sha256 in hub.lfs_objects
    assert stranger.resolve_revision(REPO, revision="main").resolved == commit
    with pytest.raises(RevisionNotFoundError):
        stranger.model_info(REPO, revision="v9")


def test_listings_show_files_folders_tags_and_history(hub, alice):
    first = push(alice)
    alice.create_tag(REPO, tag="v1")
    with pytest.raises(HfHubHTTPError, match="409"):
        alice.create_tag(REPO, tag="v1")
    second = hub.repository(REPO).commit("Add a log", {"runs/a/log.txt": b"a"}).oid
    assert alice.resolve_revision(REPO, revision="v1").resolved == first
    assert alice.list_repo_files(REPO) == sorted(hub.repository(REPO).head.files)
    assert [entry.path for entry in alice.list_repo_tree(REPO, "runs")] == ["runs/a"]
    assert [entry.path for entry in alice.get_paths_info(REPO, ["runs", "config.json", "nothing"])] == [
        "runs",
        "config.json",
    ]
    assert [commit.commit_id for commit in alice.list_repo_commits(REPO)][:2] == [second, first]
    refs = alice.list_repo_refs(REPO)
    assert refs.branches[0].target_commit == second and refs.tags[0].target_commit == first
    alice.delete_tag(REPO, tag="v1")
    assert alice.list_repo_refs(REPO).tags == []


def test_downloads_by_commit_branch_and_tag_give_the_committed_bytes(hub, alice, stranger, tmp_path):
    commit = push(alice)
    alice.create_tag(REPO, tag="v1")
    hub.repository(REPO).commit("Change the configuration", {"config.json": b"{}"})
    for revision, content in ((commit, CONFIG), ("v1", CONFIG), ("main", b"{}")):
        path = stranger.hf_hub_download(REPO, "config.json", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_bytes() == content
    by_commit = Path(stranger.snapshot_download(REPO, revision=commit, cache_dir=tmp_path))
    assert (by_commit / "model.safetensors").read_bytes() == WEIGHTS
    by_branch = Path(stranger.snapshot_download(REPO, cache_dir=tmp_path))
    assert by_commit.name == commit and by_branch.name == hub.repository(REPO).head.oid
    assert alice.verify_repo_checksums(REPO, cache_dir=tmp_path).mismatches == []


def test_tampered_bytes_of_the_same_length_pass_the_client_but_not_the_checksums(hub, alice, tmp_path):
    push(alice)
    hub.tamper(REPO, "model.safetensors", bytes(len(WEIGHTS)))
    folder = Path(alice.snapshot_download(REPO, cache_dir=tmp_path))
    assert (folder / "model.safetensors").read_bytes() == bytes(len(WEIGHTS))
    mismatches = alice.verify_repo_checksums(REPO, cache_dir=tmp_path).mismatches
    assert [mismatch["path"] for mismatch in mismatches] == ["model.safetensors"]


def test_a_private_repository_is_hidden_from_all_but_its_owner(hub, alice, stranger, tmp_path):
    alice.create_repo(REPO, private=True)
    push(alice)
    assert alice.model_info(REPO).private
    bob = HfApi(endpoint=hub.endpoint, token="hf_other")
    for api in (stranger, bob):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(REPO)
        with pytest.raises(RepositoryNotFoundError):
            api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path)


def test_a_gated_repository_shows_its_information_but_no_file(hub, alice, stranger, tmp_path):
    push(alice)
    hub.repository(REPO).gated = True
    assert stranger.model_info(REPO).gated == "manual"
    with pytest.raises(GatedRepoError):
        stranger.hf_hub_download(REPO, "config.json", cache_dir=tmp_path)


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_other", 403), ("hf_unknown", 401)])
def test_only_the_owner_writes(hub, alice, token, status):
    push(alice)
    api = HfApi(endpoint=hub.endpoint, token=token)
    operations = [CommitOperationAdd("a.txt", b"a")]
    for write in (
        lambda: api.create_repo("alice/other"),
        lambda: api.create_commit(REPO, operations, commit_message="a"),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            write()
        assert error.value.response.status_code == status
    assert len(hub.repository(REPO).commits) == 2 and "alice/other" not in hub.repositories


def test_whoami_and_create_repo_know_the_user(hub, alice):
    assert alice.whoami()["name"] == "alice"
    assert alice.create_repo(REPO).repo_id == REPO
    with pytest.raises(HfHubHTTPError, match="409"):
        alice.create_repo(REPO)
    assert alice.create_repo(REPO, exist_ok=True) == f"{hub.endpoint}/{REPO}"


def test_a_repository_is_removed_by_its_owner_only_and_is_gone_then(hub, alice):
    alice.create_repo(REPO, private=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        HfApi(endpoint=hub.endpoint, token="hf_other").delete_repo(REPO)
    assert alice.repo_exists(REPO)
    alice.delete_repo(REPO)
    assert not alice.repo_exists(REPO)
    with pytest.raises(RepositoryNotFoundError):
        alice.delete_repo(REPO)
    alice.delete_repo(REPO, missing_ok=True)


def test_an_injected_status_meets_as_many_requests_as_asked(hub, alice):
    push(alice)
    hub.fail_next("GET", "/api/models/", status=503, times=2)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as error:
            alice.model_info(REPO)
        assert error.value.response.status_code == 503
    assert alice.model_info(REPO).id == REPO


def test_a_dropped_download_is_resumed_by_range(hub, alice, monkeypatch, tmp_path):
    push(alice)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.fail_next("GET", "/resolve/main/model.safetensors", status=None, after=5000)
    path = alice.hf_hub_download(REPO, "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    assert [method for method, path in hub.requests if "/resolve/" in path] == ["HEAD", "GET", "GET"]


def test_a_range_request_gets_the_rest_of_the_file(hub, alice):
    push(alice)
    url = f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10000-"})) as response:
        assert response.status == 206 and response.read() == WEIGHTS[10000:]


def test_a_closed_hub_no_longer_answers():
    with LoopbackHub(tokens={}) as hub:
        endpoint = hub.endpoint
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(endpoint)


def test_a_pull_request_is_open_to_everybody_and_leaves_the_branch_alone(hub, alice):
    head = push(alice)
    bob = HfApi(endpoint=hub.endpoint, token="hf_other")
    operations = [CommitOperationAdd("model.safetensors", WEIGHTS[::-1]), CommitOperationDelete("config.json")]
    proposed = bob.create_commit(REPO, operations, commit_message="Another", parent_commit=head, create_pr=True)
    assert proposed.pr_num == 1 and proposed.pr_url == f"{hub.endpoint}/{REPO}/discussions/1"
    assert hub.repository(REPO).head.oid == head and bob.model_info(REPO, revision="refs/pr/1").sha == proposed.oid
    assert "config.json" not in {file.rfilename for file in bob.model_info(REPO, revision="refs/pr/1").siblings}


def test_an_owners_models_are_listed_with_their_files_and_private_ones_to_the_owner_only(hub, alice, stranger):
    push(alice)
    alice.create_repo("alice/secret", private=True)
    listed = {model.id: model for model in alice.list_models(author="alice", full=True)}
    assert set(listed) == {REPO, "alice/secret"} and listed[REPO].sha == hub.repository(REPO).head.oid
    assert "config.json" in {file.rfilename for file in listed[REPO].siblings}
    assert [model.id for model in stranger.list_models(author="alice")] == [REPO]
    assert list(stranger.list_models(author="bob")) == []


def test_metadata_of_a_card_can_be_refused(hub, alice):
    alice.create_repo(REPO)
    hub.refused_metadata = '"license" must be one of those that exist'
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md(.|\n)*must be one of those"):
        alice.create_commit(REPO, [CommitOperationAdd("README.md", b"---\n---\n")], commit_message="a")
    assert len(hub.repository(REPO).commits) == 1


def test_a_silent_hub_answers_others_meanwhile(hub, alice):
    push(alice)
    hub.silence_next("GET", "/api/models/")
    with pytest.raises(httpx2.ReadTimeout):
        alice.model_info(REPO, timeout=0.2)
    assert alice.model_info(REPO).id == REPO
