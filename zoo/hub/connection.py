"""The way to the Hub: which address, whether it is allowed, and within seconds whether anybody answers there."""

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

from zoo.errors import HubError
from zoo.host import LoanedSetting

ANSWER_WITHIN = 8.0
# Of one request, seconds: until connected, and without a byte. A commit of large files is slow to be answered. The
# client's own default is to wait for ever.
TIMEOUT = httpx2.Timeout(120.0, connect=10.0)
ATTRIBUTES = ".gitattributes"  # the Hub's own file in every repository: which names are stored as large files


@dataclass(frozen=True, slots=True)
class Commit:
    """A pushed or pulled state of a repository; only the commit's hash names a state that cannot be moved."""

    repository: str
    sha: str
    url: str


def endpoint() -> str:
    """HF_ENDPOINT as it is now; huggingface_hub reads it once, at import."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def api() -> HfApi:
    """The client at that address, with the user's login."""
    return HfApi(endpoint=endpoint())


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids to use the network."""
    return constants.is_offline_mode()


def require_token() -> None:
    """Raises HubError if nobody is logged in."""
    if get_token() is None:
        raise HubError("no Hub token: run `hf auth login`, or set HF_TOKEN to one that may write")


@contextmanager
def _settings() -> Iterator[None]:
    """The client's settings, which are the whole process's, as this package wants them: a request ends some time, and
    no progress bar is drawn into a log file."""
    session, bars = get_session(), dict(progress_bar_states)
    timeout, session.timeout = session.timeout, TIMEOUT
    if not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()
    try:
        yield
    finally:
        session.timeout = timeout
        progress_bar_states.clear()
        progress_bar_states.update(bars)


CLIENT_SETTINGS = LoanedSetting(_settings)
"""For every function of this package that may ask the Hub: the client's settings meanwhile, and the host's after."""


def require_reachable(*, within: float = ANSWER_WITHIN) -> None:
    """Raises HubError if nothing answers at the address within so many seconds.

    The client itself goes on for 23 seconds in silence, and for a timeout per address where a name has many dead ones
    or is not resolved at all. Any answer will do, an error too.
    """
    if is_offline():
        raise HubError("HF_HUB_OFFLINE is set, and this needs the Hub: unset it")
    failures: list[str] = []

    def ask() -> None:
        try:
            get_session().head(endpoint(), timeout=within, follow_redirects=False)
        except Exception as error:
            failures.append(str(error) or type(error).__name__)

    # A daemon: what still waits for a dead address must not keep the process alive.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(within)
    if asking.is_alive() or failures:
        why = failures[0] if failures else f"no answer within {within:g} s"
        raise HubError(f"cannot reach the Hub at {endpoint()}: {why}; check the network and HF_ENDPOINT")
