"""The client for ordinary code and for threads."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Self, Unpack

import httpx

from serving.client.answers import Answer
from serving.client.payload import ANSWER_SECONDS, BaseClient, CertifyParameters, Picture, PredictParameters
from serving.client.retrying import Outcome, Pause
from serving.client.streaming import StreamReader, StreamUpdate
from zoo.download.retry import DEFAULT_RETRY, RetryPolicy


class Client(BaseClient):
    """Asks a served model; threads may share one. Use it as a context manager, which closes its connections.

    An image is the bytes of a file, the path of one, or a Pillow image. Every method raises RequestError if the URL or
    an image is none, RefusedError if the server refuses the request, ServerUnavailableError if it stays out of reach,
    and ServerError if it fails in another way.

    >>> from pathlib import Path
    >>> from serving.client import Client
    >>> with Client(url) as client:  # such as http://127.0.0.1:8080/predictions/my-model
    ...     prediction = client.certify(Path("digit.png"), n=1000)
    ...     quick = client.predict(Path("digit.png"))
    >>> prediction.class_name, prediction.certificate.radius > 0.5
    ('4', True)
    >>> quick.class_name
    '4'
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = ANSWER_SECONDS,
        retry: RetryPolicy = DEFAULT_RETRY,
        now: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`url` is http://HOST:PORT/predictions/NAME; `timeout` the longest silence of the server, in seconds.

        `now`, `random` and `sleep` are for tests.
        """
        super().__init__(url, token=token, timeout=timeout, retry=retry, now=now, random=random)
        self._sleep = sleep
        self._http = httpx.Client(**self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def predict(self, image: Picture, **parameters: Unpack[PredictParameters]) -> Answer:
        """The label alone, by few draws."""
        return self.predict_all([image], **parameters)[0]

    def certify(self, image: Picture, **parameters: Unpack[CertifyParameters]) -> Answer:
        """The label and the radius within which it is certified."""
        return self.certify_all([image], **parameters)[0]

    def predict_all(self, images: Sequence[Picture], **parameters: Unpack[PredictParameters]) -> list[Answer]:
        """As `predict`, for several images in one request; one that cannot be read refuses them all."""
        return self._read(self._answer(self._body(images, "predict", parameters)), len(images))

    def certify_all(self, images: Sequence[Picture], **parameters: Unpack[CertifyParameters]) -> list[Answer]:
        """As `certify`, for several images in one request; one that cannot be read refuses them all."""
        return self._read(self._answer(self._body(images, "certify", parameters)), len(images))

    def certify_stream(self, image: Picture, **parameters: Unpack[CertifyParameters]) -> Generator[StreamUpdate]:
        """The certificate as it grows, the final one last; `stopping` is anytime unless given.

        Leaving the loop closes the connection, and the server draws no more. A stream that has begun is not asked for
        again by itself.
        Raises: StreamInterruptedError if it breaks off.
        """
        response = self._answer(self._stream_body(image, parameters), stream=True)
        try:
            reader = StreamReader(response, self.url)
            try:
                for line in response.iter_lines():
                    yield from reader.read(line)
            except httpx.RequestError as error:
                raise reader.interrupted(str(error) or type(error).__name__) from error
            reader.finish()
        finally:
            response.close()

    def _answer(self, body: Mapping[str, Any], *, stream: bool = False) -> httpx.Response:
        steps = self._exchange()
        outcome: Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Pause):
                self._sleep(step.seconds)
                outcome = None
            else:
                outcome = self._send(body, stream=stream)

    def _send(self, body: Mapping[str, Any], *, stream: bool) -> Outcome:
        try:
            response = self._http.send(self._http.build_request("POST", self.url, **body), stream=stream)
            if not response.is_success:
                response.read()
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return error
        return response


def ask(url: str, image: Picture, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that answers one image, by a client for this one request. Raises: as `Client`."""
    with Client(url) as client:
        read = client.predict if parameters.get("mode") == "predict" else client.certify
        return read(image, **{name: value for name, value in parameters.items() if name != "mode"}).to_json()
