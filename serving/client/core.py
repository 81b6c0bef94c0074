"""What the two clients share: where they ask, how patiently, and what they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from serving.client.answers import Prediction
from serving.client.asking import Picture, body, headers, read_predictions
from serving.client.retrying import Exchange, Retry, exchange

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0
PATIENT = Retry()


class Asking:
    """One model at one address; the connection is the subclass's."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        timeout: float,
        retry: Retry,
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.url = url
        self._retry, self._now, self._random = retry, now, random
        # The environment's proxies are not used: a server on this machine must not be asked through one.
        self._connection: dict[str, Any] = {
            "headers": headers(token),
            "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            "trust_env": False,
        }

    def _exchange(self) -> Exchange:
        return exchange(self.url, retry=self._retry, now=self._now, random=self._random)

    def _body(self, images: Sequence[Picture], mode: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        return body(images, {"mode": mode, **parameters})

    def _stream_body(self, image: Picture, parameters: Mapping[str, object]) -> dict[str, Any]:
        return self._body([image], "certify", {"stopping": "anytime", **parameters, "stream": True})

    def _read(self, response: httpx.Response, num: int) -> list[Prediction]:
        return read_predictions(response, num=num, url=self.url)
