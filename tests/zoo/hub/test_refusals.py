"""Whatever the Hub refuses, a command ends with one sentence, its exit code and nothing half-done."""

from collections.abc import Callable
from typing import NamedTuple

import huggingface_hub.constants
import pytest

from tests.zoo.hub.conftest import REPOSITORY, left_in
from zoo import hub as zoo_hub

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
PUSH, PULL = ("push", "{newer}", REPOSITORY), ("pull", REPOSITORY, "{dir}")
API, COMMIT = ("GET", "/api/models/"), ("POST", "/commit/main")


class Case(NamedTuple):
    """What is wrong, the command, its exit code, and what it says."""

    arrange: Callable[..., None]
    words: tuple[str, ...]
    code: int
    said: str


def nothing(hub, patch):
    pass


def token(value):
    return lambda hub, patch: patch.setenv("HF_TOKEN", value)


def logged_out(hub, patch):
    patch.delenv("HF_TOKEN")


def repository(**changes):
    def arrange(hub, patch):
        patch.setenv("HF_TOKEN", "hf_bob")
        for name, value in changes.items():
            setattr(hub.repository(REPOSITORY), name, value)

    return arrange


def private_and_logged_out(hub, patch):
    hub.repository(REPOSITORY).private = True
    logged_out(hub, patch)


def holds(name):
    return lambda hub, patch: hub.repository(REPOSITORY).commit("Add", {name: b"\x80\x04."})


def lacks(name):
    return lambda hub, patch: hub.repository(REPOSITORY).commit("Remove", {name: None})


def tampered(hub, patch):
    content = hub.repository(REPOSITORY).head.files["model.safetensors"]
    hub.tamper(REPOSITORY, "model.safetensors", content[:-1] + bytes([content[-1] ^ 1]))


def truncated(hub, patch):
    hub.tamper(REPOSITORY, "model.safetensors", hub.repository(REPOSITORY).head.files["model.safetensors"][:-1])


def answers(route, status, *, times=1, **headers):
    return lambda hub, patch: hub.fail_next(*route, status=status, times=times, headers=headers)


def offline(hub, patch):
    patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def unreachable(hub, patch):
    patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def refuses_metadata(hub, patch):
    hub.refused_metadata = '"license" must be one of those that exist'


CASES = {
    "no token": Case(logged_out, PUSH, 1, "no Hub token: run `hf auth login`"),
    "bad token": Case(token("hf_nobody"), PUSH, 1, "the Hub does not accept this token"),
    "bad token, pull": Case(token("hf_nobody"), PULL, 1, "the Hub does not accept this token"),
    "no permission": Case(token("hf_bob"), PUSH, 1, "this login may not write alice/digits: use a token with write"),
    "another's name": Case(nothing, ("push", "{newer}", "bob/x"), 1, "this login may not write bob/x"),
    "no repository id": Case(nothing, ("push", "{newer}", "a--b/c..d"), 2, "is not a repository id of the form"),
    "no MODEL": Case(nothing, ("pull", "qqqq", "{dir}"), 2, "neither a directory nor a Hub id"),
    "404": Case(nothing, ("pull", "alice/no", "{dir}"), 1, "alice/no does not exist on the mirror http://127.0.0.1"),
    "no Hub": Case(answers(API, 404), PULL, 1, "has no repository alice/digits: check its name and HF_ENDPOINT"),
    "no revision": Case(nothing, ("pull", f"{REPOSITORY}@v9", "{dir}"), 1, "alice/digits has no such revision on the"),
    "gated": Case(repository(gated=True), PULL, 1, "alice/digits is gated: request access on its page"),
    "private": Case(repository(private=True), PULL, 1, "alice/digits does not exist on the mirror http://127.0.0.1"),
    "private, no token": Case(private_and_logged_out, PULL, 1, "alice/digits does not exist on the mirror http://127.0.0.1"),
    "disabled": Case(answers(API, 403), PULL, 1, "this login may not read alice/digits: use a token with read access"),
    "409": Case(answers(COMMIT, 409), PUSH, 1, "alice/digits: the object to create exists already"),
    "412": Case(answers(COMMIT, 412), PUSH, 1, "another user pushed first: this push changed nothing in alice"),
    "429": Case(answers(API, 429, times=9), PULL, 1, "the Hub limits the rate of requests: wait a few minutes"),
    "503": Case(answers(API, 503, times=9), PULL, 1, "the Hub answered 503 for alice/digits"),
    "503, push": Case(answers(COMMIT, 503, times=9), PUSH, 1, "the Hub answered 503 for alice/digits"),
    "storage": Case(answers(("PUT", "/lfs/"), 403), PUSH, 1, "the upload failed, so nothing was committed to alice"),
    "metadata": Case(refuses_metadata, PUSH, 1, 'alice/digits: Invalid metadata in README.md. - "license"'),
    "offline": Case(offline, PULL, 1, "alice/digits is not completely in the Hub client's cache, and network"),
    "offline, push": Case(offline, PUSH, 1, "HF_HUB_OFFLINE is set, but this operation needs the Hub"),
    "--offline": Case(nothing, (*PULL, "--offline"), 1, "pull it once without --offline and HF_HUB_OFFLINE"),
    "unreachable": Case(unreachable, PULL, 1, "cannot reach the Hub at http://127.0.0.1:9"),
    "unreachable, push": Case(unreachable, PUSH, 1, "cannot reach the Hub at http://127.0.0.1:9"),
    "unreachable, list": Case(unreachable, ("list", "alice"), 1, "cannot reach the Hub at http://127.0.0.1:9"),
    "a pickle": Case(holds("weights.pkl"), PULL, 1, "not a checkpoint file: it may be a pickle"),
    "a pickle, show": Case(holds("weights.pkl"), ("show", REPOSITORY), 1, "not a checkpoint file: it may be a pickle"),
    "no manifest": Case(lacks("manifest.json"), PULL, 1, "not a checkpoint of this zoo: it contains no manifest"),
    "a missing file": Case(lacks("README.md"), PULL, 1, "README.md is missing: manifest.json lists it"),
    "a tampered byte": Case(tampered, PULL, 1, "model.safetensors is damaged: SHA-256 is"),
    "a truncated file": Case(truncated, PULL, 1, "the download of alice/digits failed and was not kept: Consistency"),
    "--tag and --create-pr": Case(nothing, (*PUSH, "--tag", "v1", "--create-pr"), 2, "create the tag after the merge"),
    "--tag taken": Case(nothing, (*PUSH, "--tag", "v1"), 1, "alice/digits already has the tag v1, at commit "),
    "--private": Case(nothing, (*PUSH, "--private"), 2, "exists and is public: --private applies only to a new"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_refusal_is_one_sentence_with_its_exit_code_and_leaves_nothing(
    case, hub, small, newer, clock, zoo_command, tmp_path, monkeypatch
):
    head = zoo_hub.push(small, REPOSITORY, tags=["v1"]).sha
    case.arrange(hub, monkeypatch)
    before = hub.repository(REPOSITORY).head
    words = [word.format(newer=newer.path, dir=tmp_path / "pulled") for word in case.words]
    done = zoo_command(*words)
    said = [line for line in done.err.splitlines() if line.startswith("zoo: ")]
    assert (done.code, done.out, len(said)) == (case.code, "", 1) and case.said in said[0]
    assert "Traceback" not in done.err and "defect" not in done.err
    assert done.err.splitlines()[-1] == said[0]
    assert [name for name in left_in(tmp_path) if name != "cache"] == []
    assert hub.repository(REPOSITORY).head is before and hub.repository(REPOSITORY).tags == {"v1": head}


def test_every_way_of_failing_says_something_else():
    kinds = {case.said for name, case in CASES.items() if "," not in name}
    assert len(kinds) >= 24
