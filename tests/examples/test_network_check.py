"""The network check, rehearsed against a file server and a Hub on this machine."""

import hashlib

import pytest

from examples.network_check.__main__ import parser
from tests.examples.conftest import HEADLESS, ON_THE_HUB, PREFIXED
from tests.examples.file_server import interrupt_main_thread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

CATALOG_ONLY = ("--parts", "catalog", "--only")


def test_everything_passes_and_nothing_of_it_is_done_again(rehearsal, weights):
    assert rehearsal.run() == 0
    outcomes = rehearsal.outcomes
    skipped = {f"catalog/{HEADLESS}/hash", "task/digits"}
    assert {name for name, outcome in outcomes.items() if outcome != "passed"} == skipped
    assert all(outcomes[name] == "skipped" for name in skipped)
    steps = rehearsal.record["steps"]
    assert steps[f"catalog/{PREFIXED}/hash"]["facts"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert steps[f"catalog/{ON_THE_HUB}/hash"]["facts"]["expected"] == hashlib.sha256(weights).hexdigest()
    assert steps[f"catalog/{PREFIXED}/classified"]["facts"]["shape"] == [2, 4]
    assert steps[f"catalog/{HEADLESS}/classified"]["facts"]["shape"] == [2, 128]
    assert steps[rehearsal.zipped]["facts"]["size"] == 3000
    assert [id for id in rehearsal.hub.repositories if id.startswith("alice/")] == []
    assert [path for path in rehearsal.output.rglob("*") if path.suffix in (".pth", ".torch", ".safetensors")] == []
    assert "to download: 0.00 GB in 3 files" in rehearsal.out and "passed" in rehearsal.out.rpartition("Summary")[2]
    num_requests, num_of_hub = len(rehearsal.site.requests), len(rehearsal.hub.requests)
    assert rehearsal.run() == 0 and rehearsal.outcomes == outcomes
    assert (len(rehearsal.site.requests), len(rehearsal.hub.requests)) == (num_requests, num_of_hub)


def test_an_interrupted_run_is_resumed_without_what_succeeded(rehearsal):
    rehearsal.site.on_get = lambda path: interrupt_main_thread() if path == "/features/one.torch" else None
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, HEADLESS) == 130
    assert rehearsal.outcomes[f"catalog/{HEADLESS}/downloaded"] == "unfinished" and "Interrupted" in rehearsal.out
    assert f"catalog/{HEADLESS}/licence" not in rehearsal.outcomes
    before = [request for request in rehearsal.site.requests if "/models/two.pth" in request]
    rehearsal.site.on_get = lambda path: None
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, HEADLESS) == 0
    assert [request for request in rehearsal.site.requests if "/models/two.pth" in request] == before
    assert before == [("HEAD", "/models/two.pth", 0), ("GET", "/models/two.pth", 0)]
    assert rehearsal.outcomes[f"catalog/{HEADLESS}/classified"] == "passed"


def test_a_download_without_end_is_cut_off_when_the_time_is_spent(rehearsal):
    rehearsal.site.trickles.add("/models/two.pth")
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--seconds", "1") == 1
    assert "cut off: the run's limit of 1 s was reached" in rehearsal.sentence(f"catalog/{PREFIXED}/downloaded")
    assert "not started" in rehearsal.sentence(f"catalog/{PREFIXED}/licence")
    assert "5 steps not started: the limit of 1 s was reached" in rehearsal.out
    assert rehearsal.outcomes[f"catalog/{PREFIXED}/found"] == "passed"


def test_a_record_that_cannot_be_written_ends_the_run_in_a_sentence(rehearsal):
    record = rehearsal.output / "network_check.json"

    def stand_in_the_way(_):
        record.unlink(missing_ok=True)
        record.mkdir(exist_ok=True)

    rehearsal.site.on_get = stand_in_the_way
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED) == 1
    assert f"Cannot write {record}: Is a directory" in rehearsal.out and "Traceback" not in rehearsal.out


@pytest.mark.parametrize(
    "words", [("--only", "small.prefixd"), ("--seconds", "0"), ("--seconds", "nan"), ("--seconds", "inf")]
)
def test_a_wrong_request_ends_with_code_2_and_asks_nothing(words, rehearsal):
    assert rehearsal.run(*words) == 2
    assert rehearsal.site.requests == [] and rehearsal.hub.requests == []


@pytest.mark.parametrize("content", ["{", '{"schema_version": 0}', "[]"])
def test_a_file_that_is_no_record_is_left_alone(content, rehearsal):
    rehearsal.output.mkdir()
    (rehearsal.output / "network_check.json").write_text(content)
    assert rehearsal.run() == 2 and "is not a record of this check" in rehearsal.out
    assert (rehearsal.output / "network_check.json").read_text() == content


def test_the_usual_run_is_everything():
    arguments = parser().parse_args(["--output", "somewhere"])
    assert (arguments.only, arguments.downloads, set(arguments.parts)) == (None, "discard", {"catalog", "hub", "tasks"})
