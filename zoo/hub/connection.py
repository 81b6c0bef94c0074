"""The connection to the Hub: its address, whether network use is allowed, and a quick reachability check."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from huggingface_hub import HfApi, constants, get_session, get_token
from huggingface_hub.utils.tqdm import disable_progress_bars, progress_bar_states

from zoo.download.environment import settings_named
from zoo.errors import HubError
from zoo.host.loaned_setting import LoanedSetting

HUB = "https://huggingface.co"
RESPONSE_TIMEOUT = 8.0  # seconds
# Timeouts of one request in seconds: to connect, and without receiving a byte. The Hub answers a commit of large files
# slowly. The client's own default is to wait forever.
TIMEOUT = httpx2.Timeout(120.0, connect=10.0)
ATTRIBUTES = ".gitattributes"  # the Hub's own file in every repository: lists the names that are stored as large files


@dataclass(frozen=True, slots=True)
class Commit:
    """A pushed or pulled state of a repository; unlike a branch or tag, the commit hash cannot be moved."""

    repository: str
    sha: str
    url: str


def endpoint() -> str:
    """The current value of HF_ENDPOINT, or the client's default; huggingface_hub reads HF_ENDPOINT once, at import."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def place() -> str:
    """The Hub, or the mirror that HF_ENDPOINT names, in words: a mirror may lack what the Hub has."""
    return "the Hub" if endpoint() == HUB else f"the mirror {endpoint()} (HF_ENDPOINT)"


def api() -> HfApi:
    """The Hub client for `endpoint()`, with the user's login."""
    return HfApi(endpoint=endpoint())


def is_offline() -> bool:
    """True if HF_HUB_OFFLINE forbids network use."""
    return constants.is_offline_mode()


def require_token() -> None:
    """Raises HubError if the user is not logged in."""
    if get_token() is None:
        raise HubError("no Hub token: run `hf auth login`, or set HF_TOKEN to a token with write access")


@contextmanager
def _settings() -> Iterator[None]:
    """Changes the client's process-wide settings as this package needs them, and restores them at exit.

    Requests get a timeout, and progress bars are off where stderr is not a terminal.
    """
    session, bars = _session(), dict(progress_bar_states)
    timeout = None if session is None else session.timeout
    if session is not None:
        session.timeout = TIMEOUT
    if not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()
    try:
        yield
    finally:
        if session is not None:
            session.timeout = timeout
        progress_bar_states.clear()
        progress_bar_states.update(bars)


def _session() -> httpx2.Client | None:
    """The client's connections; None if it cannot be made, which `require_reachable` reports if they are needed."""
    try:
        return get_session()
    except Exception:
        return None


CLIENT_SETTINGS = LoanedSetting(_settings)
"""Decorates every function of this package that may contact the Hub; the host's settings are restored afterwards."""


def require_reachable(*, within: float = RESPONSE_TIMEOUT) -> None:
    """Raises HubError if nothing answers at the Hub's address within `within` seconds, or a setting prevents a request.

    The client itself retries silently for 23 seconds. Where a host name has several dead addresses or is not resolved
    at all, the client waits for one timeout per address. Any response counts, including an error.
    """
    if is_offline():
        raise HubError("HF_HUB_OFFLINE is set, but this operation needs the Hub: unset HF_HUB_OFFLINE")
    with settings_named():
        session = get_session()
    failures: list[str] = []

    def send_request() -> None:
        try:
            session.head(endpoint(), timeout=within, follow_redirects=False)
        except Exception as error:
            failures.append(str(error) or type(error).__name__)

    # The thread is a daemon: a request that still waits for a dead address must not keep the process alive.
    thread = threading.Thread(target=send_request, daemon=True)
    thread.start()
    thread.join(within)
    if thread.is_alive() or failures:
        reason = failures[0] if failures else f"no response within {within:g} s"
        raise HubError(f"cannot reach the Hub at {endpoint()}: {reason}; check the network and HF_ENDPOINT")
