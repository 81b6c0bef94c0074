"""The asyncio client."""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
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


class AsyncClient(BaseClient):
    """The asyncio counterpart of `Client`, with the same methods as coroutines."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = ANSWER_SECONDS,
        retry: RetryPolicy = DEFAULT_RETRY,
        now: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """The arguments are those of `Client`; `sleep` is a coroutine function."""
        super().__init__(url, token=token, timeout=timeout, retry=retry, now=now, random=random)
        self._sleep = sleep
        self._http = httpx.AsyncClient(**self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def predict(self, image: Picture, **parameters: Unpack[PredictParameters]) -> Answer:
        """The predicted label without a radius, from few draws."""
        return (await self.predict_all([image], **parameters))[0]

    async def certify(self, image: Picture, **parameters: Unpack[CertifyParameters]) -> Answer:
        """The label and the radius within which it is certified."""
        return (await self.certify_all([image], **parameters))[0]

    async def label_set(self, image: Picture, **parameters: Unpack[LabelSetParameters]) -> LabelSetAnswer:
        """The classes that fit one noisy draw, with marginal coverage; the model needs a calibration."""
        return (await self.label_set_all([image], **parameters))[0]

    async def predict_all(self, images: Sequence[Picture], **parameters: Unpack[PredictParameters]) -> list[Answer]:
        """The answers of `predict` for several images in one request. One unreadable image fails the whole request."""
        return self._read(await self._answer(self._body(images, "predict", parameters)), len(images))

    async def certify_all(self, images: Sequence[Picture], **parameters: Unpack[CertifyParameters]) -> list[Answer]:
        """The answers of `certify` for several images in one request. One unreadable image fails the whole request."""
        return self._read(await self._answer(self._body(images, "certify", parameters)), len(images))

    async def label_set_all(
        self, images: Sequence[Picture], **parameters: Unpack[LabelSetParameters]
    ) -> list[LabelSetAnswer]:
        """The answers of `label_set` for several images in one request; an unreadable image fails all of it."""
        return self._read_sets(await self._answer(self._body(images, "set", parameters)), len(images))

    async def certify_stream(
        self, image: Picture, **parameters: Unpack[CertifyParameters]
    ) -> AsyncGenerator[StreamUpdate]:
        """The updates of `Client.certify_stream`. Use `contextlib.aclosing` if the loop may end early."""
        response = await self._answer(self._stream_body(image, parameters), stream=True)
        try:
            reader = StreamReader(response, self.url)
            try:
                async for line in response.aiter_lines():
                    for update in reader.read(line):
                        yield update
            except httpx.RequestError as error:
                raise reader.interrupted(str(error) or type(error).__name__) from error
            reader.finish()
        finally:
            await response.aclose()

    async def _answer(self, body: Mapping[str, Any], *, stream: bool = False) -> httpx.Response:
        steps = self._exchange()
        outcome: Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Pause):
                await self._sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._send(body, stream=stream)

    async def _send(self, body: Mapping[str, Any], *, stream: bool) -> Outcome:
        try:
            response = await self._http.send(self._http.build_request("POST", self.url, **body), stream=stream)
            if not response.is_success:
                await response.aread()
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return error
        return response
