"""A push is one commit, made once, whatever the network does meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from huggingface_hub import HfApi, ModelCard, get_session

from tests.loopback_hub import Repository
from tests.zoo.hub.conftest import REPOSITORY
from zoo import hub as zoo_hub
from zoo.errors import HubError, RequestError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")


def commits(hub):
    return len(hub.repository(REPOSITORY).commits) - 1  # but for the Hub's own first one


def test_a_push_is_one_commit_of_the_manifests_files_only(hub, small):
    pushed = zoo_hub.push(small, REPOSITORY)
    repository = hub.repository(REPOSITORY)
    assert commits(hub) == 1 and pushed.changed and pushed.sha == repository.head.oid
    assert set(repository.head.files) == {*small.files, "manifest.json", ".gitattributes"}
    assert repository.head.files["model.safetensors"] == (small.path / "model.safetensors").read_bytes()


def test_a_push_removes_what_the_checkpoint_no_longer_has(hub, small):
    zoo_hub.push(small, REPOSITORY)
    hub.repository(REPOSITORY).commit("Somebody adds a pickle", {"pytorch_model.bin": b"\x80"})
    assert zoo_hub.push(small, REPOSITORY).changed
    assert "pytorch_model.bin" not in hub.repository(REPOSITORY).head.files


def test_an_unchanged_checkpoint_is_not_pushed_again(hub, small, newer):
    first = zoo_hub.push(small, REPOSITORY)
    asked = len(hub.requests)
    again = zoo_hub.push(small, REPOSITORY)
    assert (again.sha, again.changed, commits(hub)) == (first.sha, False, 1)
    assert [method for method, _ in hub.requests[asked:]] == ["HEAD", "GET"]
    assert zoo_hub.push(newer, REPOSITORY).changed and commits(hub) == 2


def test_the_pushed_card_is_one_that_the_client_understands(hub, newer):
    zoo_hub.push(newer, REPOSITORY)
    card = ModelCard(hub.repository(REPOSITORY).head.files["README.md"].decode())
    assert card.data.pipeline_tag == "image-classification" and "certified-robustness" in card.data.tags


def test_who_was_overtaken_is_told_and_has_changed_nothing(hub, small, newer, clock, monkeypatch):
    zoo_hub.push(small, REPOSITORY)
    real = HfApi.create_commit

    def overtaken(api, *words, **named):
        hub.repository(REPOSITORY).commit("Bob was here", {"notes.txt": b"hello"})
        return real(api, *words, **named)

    monkeypatch.setattr(HfApi, "create_commit", overtaken)
    with pytest.raises(
        HubError, match=r"another user pushed first: this push changed nothing in alice/digits.*/commits/main"
    ):
        zoo_hub.push(newer, REPOSITORY, tags=["v1"], retrier=clock.retrier)
    repository = hub.repository(REPOSITORY)
    assert repository.head.title == "Bob was here" and repository.tags == {} and clock.waits == []


def test_of_two_who_push_at_once_one_is_refused(hub, small, newer, monkeypatch):
    zoo_hub.push(small, REPOSITORY)
    hub.repository(REPOSITORY).commit("So that both have something to push", {"README.md": b"older"})
    real, both_saw_the_head = HfApi.create_commit, threading.Barrier(2, timeout=60)

    def at_once(api, *words, **named):
        both_saw_the_head.wait()
        return real(api, *words, **named)

    monkeypatch.setattr(HfApi, "create_commit", at_once)
    with ThreadPoolExecutor(2) as pool:
        pushes = [pool.submit(zoo_hub.push, checkpoint, REPOSITORY) for checkpoint in (small, newer)]
    failed = [push.exception() for push in pushes if push.exception()]
    assert len(failed) == 1 and "another user pushed first" in str(failed[0])
    (done,) = (push.result() for push in pushes if not push.exception())
    assert done.sha == hub.repository(REPOSITORY).head.oid and commits(hub) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/models/"),
        ("POST", "/api/repos/create"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/commit/main"),
        ("GET", "/refs"),
        ("POST", "/tag/"),
    ],
)
def test_a_call_that_the_client_gives_up_at_once_is_made_again(hub, small, clock, method, path):
    hub.fail_next(method, path, status=503, times=2)
    zoo_hub.push(small, REPOSITORY, tags=["v1"], retrier=clock.retrier)
    assert commits(hub) == 1 and hub.repository(REPOSITORY).tags == {"v1": hub.repository(REPOSITORY).head.oid}
    assert clock.waits == [1, 2]
    assert "the Hub answered 503; retrying in 1 s (1 of 4)" in clock.said


def test_waits_are_those_that_the_hub_asks_for(hub, small, clock):
    hub.fail_next("POST", "/commit/", status=429, headers={"Retry-After": "7"})
    hub.fail_next("POST", "/commit/", status=429, headers={"RateLimit": '"api";r=0;t=9'})
    hub.fail_next("POST", "/commit/", status=503)
    zoo_hub.push(small, REPOSITORY, retrier=clock.retrier)
    assert clock.waits == [7, 9, 4]


def test_a_hub_that_asks_to_wait_for_longer_than_a_minute_is_not_waited_for(hub, small, clock):
    hub.fail_next("POST", "/commit/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(HubError, match="limits the rate of requests: wait a few minutes"):
        zoo_hub.push(small, REPOSITORY, retrier=clock.retrier)
    assert clock.waits == [] and commits(hub) == 0


def test_patience_has_an_end(hub, small, clock):
    hub.fail_next("POST", "/commit/", status=503, times=5)
    with pytest.raises(HubError, match="the Hub answered 503 for alice/digits"):
        zoo_hub.push(small, REPOSITORY, retrier=clock.retrier)
    assert clock.waits == [1, 2, 4, 8] and commits(hub) == 0


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, small, clock):
    hub.fail_next("POST", "/commit/", status=None)
    pushed = zoo_hub.push(small, REPOSITORY, retrier=clock.retrier)
    assert commits(hub) == 1 and pushed.sha == hub.repository(REPOSITORY).head.oid and pushed.changed
    assert clock.waits == []  # a look at the head was enough


def test_a_commit_that_is_never_answered_is_made_again(hub, small, clock, monkeypatch):
    monkeypatch.setattr(get_session(), "timeout", None)  # is put back at the end
    monkeypatch.setattr("zoo.hub.connection.TIMEOUT", httpx2.Timeout(30.0, read=0.5))
    hub.silence_next("POST", "/commit/")
    zoo_hub.push(small, REPOSITORY, retrier=clock.retrier)
    assert commits(hub) == 1 and clock.waits == [1]
    assert "the connection to the Hub failed" in clock.said[-1]


def test_a_commit_that_was_lost_and_overtaken_is_said_to_be_in_doubt(hub, small, newer, clock, monkeypatch):
    zoo_hub.push(small, REPOSITORY)
    hub.fail_next("POST", "/commit/", status=None)
    real = HfApi.model_info

    def later(api, *words, **named):
        if hub.repository(REPOSITORY).head.title.startswith("New"):
            hub.repository(REPOSITORY).commit("Bob was here", {"notes.txt": b"hello"})
        return real(api, *words, **named)

    monkeypatch.setattr(HfApi, "model_info", later)
    with pytest.raises(HubError, match="at the same time, and it is unknown whether this push was committed before"):
        zoo_hub.push(newer, REPOSITORY, message="New weights", retrier=clock.retrier)


def test_a_card_that_the_hub_refuses_is_quoted_and_nothing_is_committed(hub, small):
    hub.refused_metadata = '"license" must be one of those that exist'
    with pytest.raises(HubError, match=r'nothing was committed to alice/digits:.*"license" must be one of those'):
        zoo_hub.push(small, REPOSITORY)
    assert commits(hub) == 0


def test_a_large_file_that_storage_refuses_is_named_and_nothing_is_committed(hub, small):
    hub.fail_next("PUT", "/info/lfs/objects/", status=403)
    with pytest.raises(HubError, match=r"nothing was committed to alice/digits:.*'model\.safetensors'.*403"):
        zoo_hub.push(small, REPOSITORY)
    assert commits(hub) == 0


def test_a_tag_names_the_commit_and_an_existing_one_is_refused_before_anything_is_pushed(hub, small, newer):
    pushed = zoo_hub.push(small, REPOSITORY, tags=["v1", "best"])
    assert hub.repository(REPOSITORY).tags == {"v1": pushed.sha, "best": pushed.sha} and pushed.tags == ("v1", "best")
    with pytest.raises(HubError, match=r"already has the tag v1, at commit .*: nothing was pushed"):
        zoo_hub.push(newer, REPOSITORY, tags=["v1"])
    assert commits(hub) == 1
    zoo_hub.push(newer, REPOSITORY, tags=["v2"])
    assert hub.repository(REPOSITORY).tags["v1"] == pushed.sha


def test_a_tag_is_pinned_to_what_was_pushed_even_if_somebody_pushes_meanwhile(hub, small, monkeypatch):
    real = HfApi.create_tag

    def later(api, *words, **named):
        hub.repository(REPOSITORY).commit("Bob was here", {"notes.txt": b"hello"})
        return real(api, *words, **named)

    monkeypatch.setattr(HfApi, "create_tag", later)
    pushed = zoo_hub.push(small, REPOSITORY, tags=["v1"])
    assert hub.repository(REPOSITORY).tags == {"v1": pushed.sha} != {"v1": hub.repository(REPOSITORY).head.oid}


def test_a_push_whose_tag_failed_is_finished_by_the_same_command(hub, small, clock):
    hub.fail_next("POST", "/tag/", status=403)
    with pytest.raises(
        HubError, match=r"pushed alice/digits@.*could not create the tag v2.*Push again with the same --tag"
    ):
        zoo_hub.push(small, REPOSITORY, tags=["v1", "v2"][::-1], retrier=clock.retrier)
    again = zoo_hub.push(small, REPOSITORY, tags=["v1", "v2"])
    assert not again.changed and hub.repository(REPOSITORY).tags == {"v1": again.sha, "v2": again.sha}
    assert not zoo_hub.push(small, REPOSITORY, tags=["v1"]).changed  # it names this very state


def test_a_tag_whose_answer_was_lost_is_there(hub, small, clock):
    hub.fail_next("POST", "/tag/", status=None)
    pushed = zoo_hub.push(small, REPOSITORY, tags=["v1"], retrier=clock.retrier)
    assert hub.repository(REPOSITORY).tags == {"v1": pushed.sha}


@pytest.mark.parametrize("tag", ["", "a b", "../main", "a..b", "v1.lock", "-x"])
def test_what_is_no_name_of_a_tag_is_refused_before_the_hub_is_asked(hub, small, tag):
    with pytest.raises(RequestError, match="is not a tag name"):
        zoo_hub.push(small, REPOSITORY, tags=[tag])
    assert hub.requests == []


def test_a_new_repository_is_private_if_asked_and_an_existing_one_is_not_changed(hub, small, newer):
    zoo_hub.push(small, REPOSITORY, private=True)
    assert hub.repository(REPOSITORY).private
    assert zoo_hub.push(newer, REPOSITORY).changed and zoo_hub.push(small, REPOSITORY, private=True).changed
    with pytest.raises(RequestError, match="exists and is private: --public applies only to a new repository"):
        zoo_hub.push(newer, REPOSITORY, private=False)
    assert commits(hub) == 3


def test_a_pull_request_proposes_to_others_and_changes_nothing(hub, small, newer, monkeypatch):
    head = zoo_hub.push(small, REPOSITORY).sha
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    proposed = zoo_hub.push(newer, REPOSITORY, create_pr=True)
    repository = hub.repository(REPOSITORY)
    assert proposed.pull_request == f"{hub.endpoint}/{REPOSITORY}/discussions/1" and repository.head.oid == head
    (made,) = repository.pull_requests
    assert (made.oid, made.parent) == (proposed.sha, head)
    assert set(made.files) == {*newer.files, "manifest.json", ".gitattributes"}


def test_a_pull_request_is_not_opened_twice_where_its_answer_was_lost(hub, small, newer, clock):
    zoo_hub.push(small, REPOSITORY)
    hub.fail_next("POST", "/commit/", status=429)  # surely not done: done again
    hub.fail_next("POST", "/commit/", status=None)
    with pytest.raises(HubError, match=r"It is unknown whether the pull request was opened: check .*/discussions"):
        zoo_hub.push(newer, REPOSITORY, create_pr=True, retrier=clock.retrier)
    assert len(hub.repository(REPOSITORY).pull_requests) == 1 and clock.waits == [1]


def test_a_pull_request_needs_a_repository_and_takes_no_tag(hub, small):
    with pytest.raises(HubError, match="does not exist"):
        zoo_hub.push(small, REPOSITORY, create_pr=True)
    with pytest.raises(RequestError, match="create the tag after the merge"):
        zoo_hub.push(small, REPOSITORY, create_pr=True, tags=["v1"])
    assert REPOSITORY not in hub.repositories


def test_somebody_elses_repository_is_neither_made_nor_written_to(hub, small):
    hub.repositories["bob/digits"] = Repository(id="bob/digits")
    for repository in ("bob/digits", "bob/other"):
        with pytest.raises(HubError, match=f"this login may not write {repository}"):
            zoo_hub.push(small, repository)
    assert "bob/other" not in hub.repositories and len(hub.repository("bob/digits").commits) == 1
