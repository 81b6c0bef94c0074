"""The blocking, thread-safe client."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Self, Unpack

import httpx

from serving.client.answers import Answer, LabelSetAnswer
from serving.client.payload import (
    ANSWER_SECONDS,
    BaseClient,
    CertifyParameters,
    LabelSetParameters,
    Picture,
    PredictParameters,
)
from serving.client.retrying import Outcome, Pause
from serving.client.streaming import StreamReader, StreamUpdate
from zoo.download.retry import DEFAULT_RETRY, RetryPolicy


class Client(BaseClient):
    """A client of one served model. Threads may share it. Use it as a context manager to close its connections.

    An image is the bytes of an image file, a path, or a Pillow image. Every method raises RequestError if the URL is
    invalid or an image file is unreadable, RefusedError if the server refuses the request, ServerUnavailableError if
    the server stays unreachable or overloaded, and ServerError if the server fails in another way.

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
        """Creates a client without sending a request.

        Args:
            url: the model's address, http://HOST:PORT/predictions/NAME.
            token: the server's inference token, if the server requires one.
            timeout: the longest time without data from the server, in seconds.
            retry: the policy for transient failures.
            now: seconds of a monotonic clock, for tests.
            random: uniform draws from [0, 1) for the backoff, for tests.
            sleep: waits for the given seconds, for tests.

        Raises: RequestError if the token is not printable ASCII.
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
        """The predicted label without a radius, from few draws."""
        return self.predict_all([image], **parameters)[0]

    def certify(self, image: Picture, **parameters: Unpack[CertifyParameters]) -> Answer:
        """The label and the radius within which it is certified."""
        return self.certify_all([image], **parameters)[0]

    def label_set(self, image: Picture, **parameters: Unpack[LabelSetParameters]) -> LabelSetAnswer:
        """The classes that fit one noisy draw, with marginal coverage; the model needs a calibration."""
        return self.label_set_all([image], **parameters)[0]

    def predict_all(self, images: Sequence[Picture], **parameters: Unpack[PredictParameters]) -> list[Answer]:
        """The answers of `predict` for several images in one request. One unreadable image fails the whole request."""
        return self._read(self._answer(self._body(images, "predict", parameters)), len(images))

    def certify_all(self, images: Sequence[Picture], **parameters: Unpack[CertifyParameters]) -> list[Answer]:
        """The answers of `certify` for several images in one request. One unreadable image fails the whole request."""
        return self._read(self._answer(self._body(images, "certify", parameters)), len(images))

    def label_set_all(
        self, images: Sequence[Picture], **parameters: Unpack[LabelSetParameters]
    ) -> list[LabelSetAnswer]:
        """The answers of `label_set` for several images in one request; an unreadable image fails all of it."""
        return self._read_sets(self._answer(self._body(images, "set", parameters)), len(images))

    def certify_stream(self, image: Picture, **parameters: Unpack[CertifyParameters]) -> Generator[StreamUpdate]:
        """The progressive certificates of one image, ending with the final one. The default `stopping` is anytime.

        Leaving the loop closes the connection, and the server stops drawing. The client does not retry a stream that
        has begun.
        Raises: StreamInterruptedError if the stream breaks off.
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
    """The JSON object that answers one image, requested with a new client. Raises: the errors of `Client`."""
    with Client(url) as client:
        methods: dict[object, Callable[..., Answer | LabelSetAnswer]]
        methods = {"predict": client.predict, "set": client.label_set}
        method = methods.get(parameters.get("mode"), client.certify)
        return method(image, **{name: value for name, value in parameters.items() if name != "mode"}).to_json()
