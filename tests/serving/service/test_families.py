"""Questions about an image share one alpha, whatever their parameters; an identical one gets its first answer again."""

import json

import pytest

from serving.service import family_store
from serving.service.family_store import FamilyStore
from serving.service.service import InferenceService
from tests.serving.journal import Journal
from tests.serving.service.test_service import SMALL, Brightness, Choosy, Clock, drive, new_service, png
from zoo.smoothing import FamilyMember

GRAY = {"data": png(140), "n": b"400"}


def ask(service, **row):
    return drive(service, {"x": GRAY | row})["x"].body


def place(body):
    """The index, after a check that the answer's alpha follows from it."""
    told = body["votes" if body["certificate"] is None else "certificate"]
    assert told["alpha"] == FamilyMember(**told["family"]).level
    return told["family"]["index"]


@pytest.fixture
def service():
    return new_service()


def test_asking_again_changes_nothing_and_asking_otherwise_takes_the_next_index(service):
    first = ask(service)
    assert [ask(service) for _ in range(3)] == [first] * 3 and first["repeatable"]
    asked = ({"n": b"401"}, {"mode": b"predict", "n": b"50"}, {"stopping": b"anytime"}, {"alpha": b"0.01"}, {})
    assert [place(ask(service, **row)) for row in asked] == [2, 3, 4, 5, 1]
    assert ask(service, alpha=b"0.01")["certificate"]["family"] == {"alpha": 0.01, "index": 5, "size": None}
    assert place(ask(service, data=png(141))) == 1, "another image is another family"
    assert service.observer.of("answered")[-1]["family_indices"] == [1]


def test_streams_deadlines_and_copies_look_at_the_same_draws_and_take_no_index(service):
    row = {"stopping": b"anytime", "tolerance": b"0"}
    whole = ask(service, **row)
    lines, is_last = [], False
    while not is_last:
        reply = service.step({"s": GRAY | row | {"stream": b"true"}})["s"]
        lines += [json.loads(line) for line in reply.text.splitlines()]
        is_last = reply.is_last
    assert {place(line) for line in lines} == {1} and lines[-1]["certificate"] == whole["certificate"]
    timed = ask(service, **row, deadline_ms=b"1000")
    assert timed["certificate"] == whole["certificate"] == ask(service, **row, copies=b"1")["certificate"]


def shared_service(folder, base=None, **limits):
    fitted = new_service(**limits)
    return InferenceService(
        base or Brightness(),
        SMALL,
        sigma=0.25,
        model_sha256="ab",
        limits=fitted.limits,
        batch_size=64,
        noise_secret=b"s" * 32,
        families=FamilyStore(folder),
        observer=Journal(),
        clock=Clock(),
    )


def test_workers_of_one_folder_count_together_and_a_restarted_one_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(family_store, "NUM_CELLS", 1024)
    one, other = shared_service(tmp_path), shared_service(tmp_path)
    first = ask(one)
    assert ask(other) == first and place(ask(other, n=b"401")) == 2 and place(ask(one, n=b"402")) == 3
    again = shared_service(tmp_path)
    assert ask(again) == first and place(ask(again, n=b"403")) == 4


def test_another_default_is_another_question_although_the_request_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(family_store, "NUM_CELLS", 1024)
    row = {"data": png(140)}
    places = [
        place(drive(shared_service(tmp_path, n=n), {"x": row})["x"].body) for n in (300, 500, 300)
    ]  # a restart under another default draws more of the same noise: that is another look
    assert places == [1, 2, 1]


def test_an_index_stays_spent_when_its_question_fails_or_its_alpha_is_out_of_reach(service):
    works, service.engine.sampler.base = service.engine.sampler.base, Choosy()
    black = {"data": png(0)}
    assert drive(service, {"x": GRAY | black})["x"].status == 500
    service.engine.sampler.base = works
    assert [place(ask(service, **black, n=n)) for n in (b"401", b"400")] == [2, 1]
    refusal = drive(service, {"x": GRAY | black | {"n": b"10"}})["x"]
    assert refusal.status == 422
    assert "question 3 of a family with alpha=0.001 gets alpha=6.75475e-05: n=10 can never" in refusal.body["message"]
    assert place(ask(service, **black, n=b"402")) == 4


def test_seeded_answers_and_servers_without_families_use_the_whole_alpha():
    seeded = ask(new_service(allows_seed=True), seed=b"3")
    for body in (seeded, ask(new_service(families=False))):
        assert body["certificate"]["family"] is None and body["certificate"]["alpha"] == 0.001
