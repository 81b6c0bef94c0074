"""The check of a private repository on the Hub, rehearsed: the repository is always removed."""

import pytest

from tests.examples.file_server import interrupt_main_thread
from tests.loopback_hub import HubError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

HUB_ONLY = ("--parts", "hub")


def alices(hub):
    return [id for id in hub.repositories if id.startswith("alice/")]


def test_without_a_token_the_private_repository_is_skipped(rehearsal, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert rehearsal.run(*HUB_ONLY) == 0
    assert rehearsal.outcomes == {"hub": "skipped"} and rehearsal.sentence("hub").startswith("no token")


def test_a_private_repository_is_removed_although_a_step_failed(rehearsal):
    rehearsal.hub.fail_next("GET", "/resolve/", status=403, times=9)
    rehearsal.hub.fail_next("HEAD", "/resolve/", status=403, times=9)
    assert rehearsal.run(*HUB_ONLY) == 1
    assert {step.rpartition("/")[2]: outcome for step, outcome in rehearsal.outcomes.items()} == {
        "pushed": "passed", "hidden": "passed", "pulled": "failed", "listed": "failed", "verified": "skipped",
        "timm": "skipped", "removed": "passed",
    }  # fmt: skip
    assert "may not read" in rehearsal.sentence("hub/pulled")
    assert ("POST", "/api/repos/create") in rehearsal.hub.requests
    assert alices(rehearsal.hub) == [] and rehearsal.record["left_behind"] == []


def test_a_private_repository_is_removed_when_the_run_is_interrupted(rehearsal, monkeypatch):
    monkeypatch.setattr(
        rehearsal.hub, "take_fault", lambda method, path: interrupt_main_thread() if "/commit/" in path else None
    )
    assert rehearsal.run(*HUB_ONLY) == 130
    assert rehearsal.outcomes == {"hub/pushed": "unfinished", "hub/removed": "passed"}
    assert ("POST", "/api/repos/create") in rehearsal.hub.requests and alices(rehearsal.hub) == []


def test_a_private_repository_is_removed_when_the_time_is_spent(rehearsal):
    rehearsal.hub.silence_next("HEAD", "/resolve/")
    rehearsal.hub.silence_next("GET", "/resolve/")
    assert rehearsal.run(*HUB_ONLY, "--seconds", "2.5") == 1
    assert "unfinished" in rehearsal.outcomes.values() and rehearsal.outcomes["hub/removed"] == "passed"
    assert ("POST", "/api/repos/create") in rehearsal.hub.requests and alices(rehearsal.hub) == []


def test_a_token_that_the_hub_does_not_accept_is_told_in_a_sentence(rehearsal, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    assert rehearsal.run(*HUB_ONLY) == 1
    assert "the Hub does not accept this token" in rehearsal.sentence("hub/pushed")
    assert "hub/removed" not in rehearsal.outcomes and rehearsal.record["left_behind"] == []


def test_a_repository_that_could_not_be_removed_is_named_and_removed_by_the_next_run(rehearsal, monkeypatch):
    rehearsal.hub.fail_next("POST", "/commit/", status=403)
    rehearsal.hub.fail_next("DELETE", "/api/repos", status=500, times=2)
    assert rehearsal.run(*HUB_ONLY) == 1
    (left,) = alices(rehearsal.hub)
    assert rehearsal.record["left_behind"] == [left] and f"hf repos delete {left}" in rehearsal.out
    rehearsal.hub.fail_next("POST", "/commit/", status=403)
    assert rehearsal.run(*HUB_ONLY) == 1
    assert rehearsal.outcomes["hub/left behind"] == "passed" and alices(rehearsal.hub) == []
    assert rehearsal.record["left_behind"] == []


def test_a_repository_that_strangers_see_fails(rehearsal, monkeypatch):
    def publish(method, path):
        if method == "POST" and "/commit/" in path:
            rehearsal.hub.repository(*alices(rehearsal.hub)).private = False
        return HubError(403, "no pull in this test") if "/resolve/" in path else None

    monkeypatch.setattr(rehearsal.hub, "take_fault", publish)
    assert rehearsal.run(*HUB_ONLY) == 1
    assert "answered 200 without a token" in rehearsal.sentence("hub/hidden")
