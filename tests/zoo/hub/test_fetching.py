"""What is fetched is one commit of a checkpoint, to the byte, or nothing."""

import threading
import time
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from tests.full_disk import files_no_larger_than
from tests.loopback_hub import Repository
from tests.zoo.hub.conftest import REPOSITORY, left_in
from zoo import hub as zoo_hub
from zoo.checkpoints.copying import install
from zoo.errors import CheckpointError, HubError, RequestError
from zoo.hub.connection import require_reachable
from zoo.loading.locate import describe, locate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def pushed(hub, small, newer):
    """Two commits: the small checkpoint, tagged v1, and the newer one."""
    first = zoo_hub.push(small, REPOSITORY, tags=["v1"])
    return first, zoo_hub.push(newer, REPOSITORY)


def downloads(hub):
    return [path for method, path in hub.requests if method == "GET" and "/resolve/" in path]


def test_a_commit_a_tag_and_a_branch_give_what_they_name(pushed, small, newer):
    first, second = pushed
    for revision, checkpoint, sha in (
        (first.sha, small, first.sha),
        ("v1", small, first.sha),
        ("main", newer, second.sha),
        (None, newer, second.sha),
    ):
        fetched, commit = zoo_hub.fetch(REPOSITORY, revision=revision)
        assert fetched.files == checkpoint.files and commit.sha == sha
    assert locate(f"{REPOSITORY}@v1").files == small.files and locate(REPOSITORY).files == newer.files


def test_what_is_cached_of_a_commit_is_not_asked_for_again(hub, pushed):
    first, _ = pushed
    zoo_hub.fetch(REPOSITORY, revision=first.sha)
    asked = len(hub.requests)
    zoo_hub.fetch(REPOSITORY, revision=first.sha)
    assert len(hub.requests) == asked
    zoo_hub.fetch(REPOSITORY, revision="v1")
    assert [method for method, _ in hub.requests[asked:]] == ["HEAD", "GET"]  # is it there, what is v1


def test_a_download_that_drops_goes_on_where_it_was(hub, pushed, small, monkeypatch):
    first, _ = pushed
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.fail_next("GET", "model.safetensors", status=None, after=100_000)
    fetched, _ = zoo_hub.fetch(REPOSITORY, revision=first.sha)
    assert fetched.files == small.files
    assert len([path for path in downloads(hub) if path.endswith("model.safetensors")]) == 2
    (taken_up,) = hub.ranges
    assert 90_000 < taken_up <= 100_000


def test_a_download_that_the_client_gives_up_at_once_is_made_again(hub, pushed, clock):
    hub.fail_next("GET", "/resolve/", status=503, times=2)
    zoo_hub.fetch(REPOSITORY, retrier=clock.retrier)
    assert clock.waits == [1, 2] and any("model.safetensors" in said for said in clock.said)


def test_a_byte_that_is_another_one_is_refused_and_forgotten(hub, pushed, newer):
    content = bytearray((newer.path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    hub.tamper(REPOSITORY, "model.safetensors", bytes(content))
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"alice/digits@.*model\.safetensors is damaged.*removed from the cache"
        ):
            zoo_hub.fetch(REPOSITORY)
    hub.repository(REPOSITORY).tampered.clear()
    assert zoo_hub.fetch(REPOSITORY)[0].files == newer.files


def test_a_file_that_the_manifest_lists_and_the_repository_lacks_is_named(hub, pushed):
    hub.repository(REPOSITORY).commit("Lose the weights", {"model.safetensors": None})
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing: manifest\.json lists it"):
        zoo_hub.fetch(REPOSITORY)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "'pytorch_model.bin', which is not a checkpoint file: it may be a pickle"),
        ("handler.py", "'handler.py', which is not a checkpoint file; nothing was downloaded"),
        ("../../evil", "'../../evil', which is not a checkpoint file"),
        ("nested/config.json", "'nested/config.json', which is not a checkpoint file"),
    ],
)
def test_of_a_repository_with_anything_else_in_it_nothing_is_downloaded(hub, pushed, cache, name, said):
    hub.repository(REPOSITORY).commit("Add", {name: b"\x80\x04."})
    for action in (zoo_hub.fetch, zoo_hub.fetch_description):
        with pytest.raises(CheckpointError) as refused:
            action(REPOSITORY)
        assert said in str(refused.value)
    assert downloads(hub) == [] and left_in(cache) == []


def test_what_is_no_checkpoint_of_this_zoo_is_not_downloaded(hub):
    hub.repositories["bob/other"] = Repository(id="bob/other")
    hub.repository("bob/other").commit("Add", {"model.safetensors": b"weights"})
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of this zoo: it contains no manifest\.json"):
        zoo_hub.fetch("bob/other")
    assert downloads(hub) == []


@pytest.mark.parametrize("revision", ["../../elsewhere", "/etc/passwd", "a/../b", "/"])
def test_a_revision_cannot_name_a_file_outside_the_cache(hub, pushed, revision):
    for offline in (False, True):
        with pytest.raises(RequestError, match="is not a revision"):
            zoo_hub.fetch(REPOSITORY, revision=revision, offline=offline)


def test_offline_a_name_is_what_it_was_when_it_was_last_fetched(hub, pushed, small, newer, monkeypatch):
    first, _ = pushed
    for revision in (None, "v1", first.sha):
        with pytest.raises(HubError, match="not completely in the Hub client's cache, and network use is disabled"):
            zoo_hub.fetch(REPOSITORY, revision=revision, offline=True)
    zoo_hub.fetch(REPOSITORY)
    zoo_hub.fetch(REPOSITORY, revision="v1")
    hub.repository(REPOSITORY).commit("Something newer", {"README.md": b"other"})
    asked = len(hub.requests)
    for revision, checkpoint in ((None, newer), ("main", newer), ("v1", small), (first.sha, small)):
        assert zoo_hub.fetch(REPOSITORY, revision=revision, offline=True)[0].files == checkpoint.files
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert locate(f"{REPOSITORY}@v1").files == small.files and locate(REPOSITORY).files == newer.files
    assert len(hub.requests) == asked
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set, but this operation needs the Hub"):
        zoo_hub.push(small, REPOSITORY)


def test_offline_a_damaged_copy_is_refused_and_kept(pushed, cache):
    _, commit = zoo_hub.fetch(REPOSITORY)
    (weights,) = cache.glob(f"models--*/snapshots/{commit.sha}/model.safetensors")
    content = weights.read_bytes()
    weights.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged") as refused:
        zoo_hub.fetch(REPOSITORY, offline=True)
    assert weights.exists() and "from the cache" not in str(refused.value)


def test_a_hub_that_is_down_is_reported_at_once_with_what_the_cache_holds(hub, pushed, monkeypatch):
    _, second = pushed
    zoo_hub.fetch(REPOSITORY)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    began = time.monotonic()
    with pytest.raises(HubError, match=f"cannot reach the Hub at {NOWHERE}.*give alice/digits@{second.sha}"):
        zoo_hub.fetch(REPOSITORY)
    with pytest.raises(HubError, match=f"cannot reach the Hub at {NOWHERE}.*check the network"):
        zoo_hub.fetch(REPOSITORY, revision="v1")
    assert time.monotonic() - began < 5
    assert zoo_hub.fetch(REPOSITORY, revision=second.sha)[1].sha == second.sha  # needs no network


def test_a_hub_that_takes_the_connection_and_says_nothing_is_reported_in_time(hub):
    hub.silence_next("HEAD", "/")
    began = time.monotonic()
    with pytest.raises(HubError, match="cannot reach the Hub"):
        require_reachable(within=0.3)
    assert time.monotonic() - began < 5


def test_a_name_that_is_not_resolved_is_not_waited_for(monkeypatch):
    done = threading.Event()
    dead = SimpleNamespace(head=lambda *_, **__: done.wait(60))  # resolving a name knows no timeout
    monkeypatch.setattr("zoo.hub.connection.get_session", lambda: dead)
    began = time.monotonic()
    with pytest.raises(HubError, match=r"cannot reach the Hub at .*: no response within 0.2 s"):
        require_reachable(within=0.2)
    done.set()
    assert time.monotonic() - began < 5


def test_a_description_needs_no_weights_and_is_checked(hub, pushed, newer):
    described = zoo_hub.fetch_description(REPOSITORY)
    assert described.spec == newer.spec and not any(path.endswith("safetensors") for path in downloads(hub))
    assert "the weights were not fetched" in describe(REPOSITORY, offline=True).checked
    with pytest.raises(HubError, match="not completely in the Hub client's cache"):
        zoo_hub.fetch(REPOSITORY, offline=True)
    card = (newer.path / "README.md").read_bytes()
    hub.repository(REPOSITORY).commit("Better numbers", {"README.md": card.replace(b"74.2", b"94.2")})
    with pytest.raises(CheckpointError, match=r"README\.md is damaged: SHA-256 is"):
        zoo_hub.fetch_description(REPOSITORY)


def test_a_signature_comes_with_its_manifest_from_the_first_fetch_on(hub, small, tmp_path):
    signed = install(small, tmp_path / "signed")
    (signed.path / "manifest.sig").write_text("a signature of the manifest")
    zoo_hub.push(signed, REPOSITORY)
    zoo_hub.fetch_description(REPOSITORY)
    assert [path.rpartition("/")[2] for path in downloads(hub)][:2] == ["manifest.sig", "manifest.json"]
    zoo_hub.fetch(REPOSITORY)
    offline, _ = zoo_hub.fetch(REPOSITORY, offline=True)
    assert (install(offline, tmp_path / "pulled").path / "manifest.sig").read_text() == "a signature of the manifest"


@pytest.mark.parametrize("changes", [{"config.json": None}, {"manifest.json": b'{"files": {}}'}])
def test_a_description_without_a_config_is_refused(hub, pushed, changes):
    hub.repository(REPOSITORY).commit("Lose the config", changes)
    with pytest.raises(CheckpointError, match=r"config\.json is missing, or manifest\.json does not list it"):
        zoo_hub.fetch_description(REPOSITORY)


def test_a_manifest_that_is_damaged_in_the_cache_is_fetched_anew(pushed, newer, cache):
    _, second = pushed
    zoo_hub.fetch(REPOSITORY)
    (manifest,) = cache.glob(f"models--*/snapshots/{second.sha}/manifest.json")
    manifest.resolve().write_bytes(b"{")
    with pytest.raises(HubError, match="not completely in the Hub client's cache"):
        zoo_hub.fetch(REPOSITORY, offline=True)
    with pytest.raises(
        CheckpointError, match=r"not a manifest of this zoo; the damaged files were removed from the cache"
    ):
        zoo_hub.fetch(REPOSITORY, revision=second.sha)
    assert zoo_hub.fetch(REPOSITORY, revision=second.sha)[0].files == newer.files


def test_a_gated_or_private_repository_is_refused_to_strangers(hub, pushed, monkeypatch):
    repository = hub.repository(REPOSITORY)
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    repository.gated = True
    with pytest.raises(HubError, match="alice/digits is gated: request access"):
        zoo_hub.fetch(REPOSITORY)
    repository.private = True
    with pytest.raises(HubError, match=r"does not exist on the mirror http://127\.0"):
        zoo_hub.fetch(REPOSITORY)


def test_a_disk_that_is_full_leaves_nothing(hub, pushed, small, cache, tmp_path):
    with (
        files_no_larger_than(200_000),
        pytest.raises(HubError, match=r"cannot read or write .*nothing was left behind"),
    ):
        zoo_hub.fetch(REPOSITORY)
    assert not list(cache.rglob("*.incomplete")) and not list(cache.rglob("*.safetensors"))
    with (
        files_no_larger_than(200_000),
        pytest.raises(HubError, match=r"cannot write .*pulled.*nothing was left behind"),
    ):
        install(small, tmp_path / "pulled")
    assert left_in(tmp_path) == ["cache"]


def test_an_installed_checkpoint_is_there_wholly_or_not_at_all(small, tmp_path):
    copied = install(small, tmp_path / "a" / "copy")
    assert copied.path == tmp_path / "a" / "copy" and copied.files == small.files
    assert left_in(copied.path) == sorted([*small.files, "manifest.json"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "file", tmp_path / "mine" / "file" / "below"):
        with pytest.raises(RequestError, match=r"exists and is not an empty directory|cannot create"):
            install(small, taken)
    assert (tmp_path / "mine" / "file").read_text() == "precious"
    (copied.path / "model.safetensors").write_bytes(b"changed after it was opened")
    with pytest.raises(CheckpointError, match="is damaged"):
        install(copied, tmp_path / "other")
    assert left_in(tmp_path) == ["a", "mine"]
