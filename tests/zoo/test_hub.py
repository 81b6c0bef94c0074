"""Push and pull with the real client, against a Hub on this machine."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.loopback_hub import Repository
from zoo import hub as zoo_hub
from zoo.checkpoint import open_checkpoint
from zoo.errors import CheckpointError, HubError, RequestError
from zoo.locate import locate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

REPOSITORY = "alice/digits"


@pytest.fixture(autouse=True)
def logged_in(hub, monkeypatch, tmp_path):
    """Alice's login at the loopback Hub, with a cache of the test's own."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_pulled_checkpoint_is_the_pushed_one(hub, digits_checkpoint, tmp_path):
    pushed = zoo_hub.push(digits_checkpoint, REPOSITORY)
    pulled, commit = zoo_hub.pull(REPOSITORY, tmp_path / "pulled")
    assert pulled.files == digits_checkpoint.files
    assert commit.sha == pushed.sha == hub.repository(REPOSITORY).head.oid
    assert not (tmp_path / "pulled" / ".gitattributes").exists()


def test_a_push_is_one_commit_of_the_manifests_files_only(hub, digits_checkpoint):
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    repository = hub.repository(REPOSITORY)
    assert len(repository.commits) == 2  # the Hub's own first one, and ours
    assert set(repository.head.files) == {*digits_checkpoint.files, "manifest.json", ".gitattributes"}


def test_a_push_removes_what_the_checkpoint_no_longer_has(hub, digits_checkpoint):
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    hub.repository(REPOSITORY).commit("Somebody adds a pickle", {"pytorch_model.bin": b"\x80"})
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    assert "pytorch_model.bin" not in hub.repository(REPOSITORY).head.files


def test_a_push_that_somebody_was_faster_than_changes_nothing(hub, digits_checkpoint, monkeypatch):
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    hub.repository(REPOSITORY).commit("Bob edits the card", {"README.md": b"mine"})
    real = zoo_hub.HfApi.create_commit

    def overtaken(api, *words, **named):
        hub.repository(REPOSITORY).commit("Bob was here", {"notes.txt": b"hello"})
        return real(api, *words, **named)

    monkeypatch.setattr(zoo_hub.HfApi, "create_commit", overtaken)
    with pytest.raises(HubError, match="someone pushed first"):
        zoo_hub.push(digits_checkpoint, REPOSITORY, message="Too late")
    assert hub.repository(REPOSITORY).head.title == "Bob was here"


def test_a_pull_is_pinned_to_the_revision_asked_for(hub, digits_checkpoint, tmp_path):
    first = zoo_hub.push(digits_checkpoint, REPOSITORY)
    hub.repository(REPOSITORY).commit("Break it", {"config.json": b"{}"})
    pulled, commit = zoo_hub.pull(REPOSITORY, tmp_path / "pulled", revision=first.sha)
    assert commit.sha == first.sha and pulled.files == digits_checkpoint.files


def test_a_hub_id_works_wherever_a_directory_does(digits_checkpoint):
    commit = zoo_hub.push(digits_checkpoint, REPOSITORY)
    assert locate(f"{REPOSITORY}@{commit.sha}").files == digits_checkpoint.files
    assert locate(REPOSITORY).files == digits_checkpoint.files


def test_a_tampered_byte_of_equal_length_is_refused_and_no_directory_appears(hub, digits_checkpoint, tmp_path):
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    content = bytearray((digits_checkpoint.path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    hub.tamper(REPOSITORY, "model.safetensors", bytes(content))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        zoo_hub.pull(REPOSITORY, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".pulled")]


def test_a_directory_that_is_not_empty_is_not_overwritten(digits_checkpoint, tmp_path):
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "file", tmp_path / "mine" / "file" / "below"):
        with pytest.raises(RequestError, match=r"exists and is not an empty directory|cannot make"):
            zoo_hub.pull(REPOSITORY, taken)
    assert (tmp_path / "mine" / "file").read_text() == "precious"


def test_what_is_no_checkpoint_is_not_pulled(hub, tmp_path):
    hub.repositories["bob/other"] = Repository(id="bob/other")
    hub.repository("bob/other").commit("Add", {"pytorch_model.bin": b"\x80"})
    with pytest.raises(CheckpointError, match="no checkpoint"):
        zoo_hub.pull("bob/other", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def expect(said, action):
    with pytest.raises(HubError, match=said):
        action()


def test_every_refusal_of_the_hub_has_its_own_sentence(hub, digits_checkpoint, tmp_path, monkeypatch):
    def push(repository=REPOSITORY):
        return zoo_hub.push(digits_checkpoint, repository)

    def pull(repository=REPOSITORY, **named):
        return zoo_hub.pull(repository, tmp_path / "pulled", **named)

    push()
    expect("does not exist", lambda: pull("alice/nothing"))
    expect("no such revision", lambda: pull(revision="v9"))
    expect("may not write to bob/digits", lambda: push("bob/digits"))
    hub.repository(REPOSITORY).commit("So that there is something to push", {"README.md": b"older"})
    hub.fail_next("POST", "/commit/", status=503)
    expect("answered 503", push)
    push()
    hub.fail_next("GET", "/api/models/", status=429)
    expect("slow down", pull)
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    hub.repository(REPOSITORY).gated = True
    expect("is gated", pull)
    hub.repository(REPOSITORY).gated = False
    hub.repository(REPOSITORY).private = True
    expect("private", pull)
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    expect("does not accept this token", push)
    expect("no repository id", lambda: push("a--b/c..d"))
    hub.close()
    expect("cannot reach the Hub", pull)
    assert not (tmp_path / "pulled").exists()


def test_the_pushed_card_is_one_that_the_client_understands(hub, digits_checkpoint):
    card = ModelCard(Path(digits_checkpoint.path / "README.md").read_text())
    assert card.data.pipeline_tag == "image-classification"
    assert "certified-robustness" in card.data.tags
    zoo_hub.push(digits_checkpoint, REPOSITORY)
    assert hub.repository(REPOSITORY).head.files["README.md"].decode() == card.content


def test_the_commands_push_and_pull(digits_checkpoint, tmp_path, zoo_command):
    pushed = zoo_command("push", digits_checkpoint.path, REPOSITORY)
    assert pushed.code == 0 and pushed.out.startswith(f"pushed {REPOSITORY}@")
    pulled = zoo_command("pull", REPOSITORY, tmp_path / "pulled", "--json")
    assert pulled.code == 0 and '"commit"' in pulled.out
    assert open_checkpoint(tmp_path / "pulled").files == digits_checkpoint.files
    refused = zoo_command("pull", "alice/nothing", tmp_path / "other")
    assert (refused.code, refused.out) == (1, "") and refused.err.startswith("zoo: alice/nothing does not exist")
