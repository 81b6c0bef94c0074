"""The Hub client's settings are the host program's: every call leaves them as they were, also one that fails."""

import sys

import httpx2
import pytest
from huggingface_hub import constants, get_session
from huggingface_hub.utils.tqdm import progress_bar_states

import zoo
from tests.zoo.hub.conftest import REPOSITORY, save
from zoo import hub as zoo_hub
from zoo.errors import HubError, ZooError
from zoo.hub import connection

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
OWN_TIMEOUT, OWN_BARS = httpx2.Timeout(33.0), {"_global": True, "transformers": False}


@pytest.fixture
def pushed(hub, small):
    return zoo_hub.push(small, REPOSITORY)


@pytest.fixture
def settings(pushed, monkeypatch):
    """Returns the client's settings, which are a host program's own at first."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", None)
    monkeypatch.setattr(sys.modules["huggingface_hub.utils.tqdm"], "HF_HUB_DISABLE_PROGRESS_BARS", None)
    before = get_session().timeout, dict(progress_bar_states)
    get_session().timeout = OWN_TIMEOUT
    progress_bar_states.clear()
    progress_bar_states.update(OWN_BARS)
    yield lambda: (get_session(), get_session().timeout, dict(progress_bar_states))
    get_session().timeout = before[0]
    progress_bar_states.clear()
    progress_bar_states.update(before[1])


CALLS = {
    "load": lambda path: zoo.load(REPOSITORY),
    "description": lambda path: zoo_hub.fetch_description(REPOSITORY),
    "file": lambda path: zoo_hub.download_file(REPOSITORY, "config.json", revision="main"),
    "list": lambda path: zoo_hub.list_checkpoints("alice", limit=10),
    "push": lambda path: zoo_hub.push(save(path / "other", seed=3), REPOSITORY),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_clients_settings_as_they_were(name, settings, tmp_path):
    before = settings()
    CALLS[name](tmp_path)
    assert settings() == before


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_leaves_them_too(name, settings, hub, tmp_path):
    before = settings()
    hub.fail_next("GET", "/api/", status=403, times=2)
    hub.fail_next("HEAD", "/resolve/", status=403, times=2)
    with pytest.raises(ZooError):
        CALLS[name](tmp_path)
    assert settings() == before


def test_nobody_answers_and_the_settings_are_as_they_were(settings, monkeypatch):
    before = settings()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="cannot reach the Hub"):
        zoo.load("alice/other")
    assert settings() == before


def test_meanwhile_requests_end_and_no_bar_is_drawn_into_a_log_file(settings):
    with connection.CLIENT_SETTINGS:
        _, timeout, bars = settings()
    assert timeout == connection.TIMEOUT and bars == {"_global": False}
