"""What an owner has on the Hub, and what each card claims."""

import json

import pytest

from tests.loopback_hub import Repository
from zoo import hub as zoo_hub
from zoo.hub import list_checkpoints

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")


@pytest.fixture
def shelf(hub, small, newer):
    """Two checkpoints of alice, one of them private; one that is damaged, and two repositories of other kinds."""
    zoo_hub.push(newer, "alice/certified")
    zoo_hub.push(small, "alice/measured-not", private=True)
    zoo_hub.push(small, "alice/damaged")
    hub.repository("alice/damaged").commit("Another sigma", {"config.json": b"{}"})
    for name in ("alice/empty", "alice/other"):
        hub.repositories[name] = Repository(id=name)
    hub.repository("alice/other").commit("Add", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})


def test_checkpoints_are_listed_with_what_their_configs_say(shelf, hub, small, newer):
    listed, num_models = list_checkpoints("alice", limit=10)
    assert num_models == 5
    assert [(each.repository, each.spec, each.private) for each in listed] == [
        ("alice/certified", newer.spec, False),
        ("alice/damaged", None, False),
        ("alice/measured-not", small.spec, True),
    ]
    assert "config.json is damaged" in listed[1].problem
    assert not [path for _, path in hub.requests if "/resolve/" in path and "safetensors" in path]


def test_strangers_see_what_is_public_and_a_limit_is_kept(shelf, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    assert "alice/measured-not" not in {each.repository for each in list_checkpoints("alice", limit=10)[0]}
    assert list_checkpoints("alice", limit=1)[1] == 1 and list_checkpoints("nobody", limit=10) == ([], 0)


def test_the_table_shows_task_method_sigma_and_certified_accuracy(shelf, zoo_command):
    done = zoo_command("list", "alice")
    head, *rows = [line.split("  ") for line in done.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in (head, *rows)]
    assert done.code == 0 and cells == [
        ["MODEL", "TASK", "METHOD", "SIGMA", "CERTIFIED@0.5", "ACR", "IMAGES"],
        ["alice/certified", "digits", "consistency", "0.5", "74.2 %", "0.711", "500"],
        ["alice/damaged", "cannot be read"],
        ["alice/measured-not (private)", "digits", "consistency", "0.5", "-", "-", "-"],
    ]
    assert "3 checkpoints among 5 repositories of alice" in done.err
    assert "alice/damaged cannot be read: alice/damaged@" in done.err


def test_a_radius_that_no_card_claims_is_not_measured(shelf, zoo_command):
    found = {each["model"]: each for each in json.loads(zoo_command("list", "alice", "--json").out)}
    assert found["alice/certified"]["certified_accuracy"] == {
        "radius": 0.5,
        "accuracy": 0.742,
        "low": 0.7,
        "high": 0.78,
    }
    assert (found["alice/certified"]["n"], found["alice/certified"]["alpha"]) == (1000, 0.001)
    assert found["alice/damaged"]["problem"] and found["alice/damaged"]["sigma"] is None
    other = json.loads(zoo_command("list", "alice", "--json", "--radius", "0.25").out)
    assert [each["certified_accuracy"] for each in other] == [None, None, None]


def test_an_owner_without_checkpoints_is_an_answer(zoo_command):
    done = zoo_command("list", "nobody")
    assert (done.code, done.out) == (0, "") and "0 checkpoints among 0 repositories of nobody" in done.err
    assert json.loads(zoo_command("list", "nobody", "--json").out) == []
