"""Answers for many image files in their order, from a server or computed in this process."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

from serving.client import Answer, AsyncClient, LabelSetAnswer
from zoo.errors import RequestError, ServerUnavailableError, ZooError

MOST_IN_FLIGHT = 4
Outcome: TypeAlias = tuple[Path, dict[str, Any] | ZooError]


async def by_server(
    url: str, paths: Sequence[Path], parameters: Mapping[str, Any], *, token: str | None
) -> AsyncGenerator[Outcome]:
    """The answers of a served model, with a few requests in flight. A failed request does not affect the others.

    Raises: ServerUnavailableError if the server stays unreachable, because the remaining requests would fail as well.
    """
    mode_parameters = {name: value for name, value in parameters.items() if name != "mode"}
    async with AsyncClient(url, token=token) as client:
        methods: dict[object, Callable[..., Coroutine[Any, Any, Answer | LabelSetAnswer]]]
        methods = {"predict": client.predict, "set": client.label_set}
        ask = methods.get(parameters.get("mode"), client.certify)

        async def outcome(path: Path) -> Outcome:
            try:
                return path, (await ask(_read(path), **mode_parameters)).to_json()
            except ServerUnavailableError:
                raise
            except ZooError as error:
                return path, error

        async with aclosing(_in_order(outcome, paths)) as outcomes:
            async for path_and_answer in outcomes:
                yield path_and_answer


async def on_the_spot(
    model: str,
    paths: Sequence[Path],
    parameters: Mapping[str, Any],
    *,
    device: str,
    backend: str,
    precision: str | None,
) -> AsyncGenerator[Outcome]:
    """The answers that a server would give, computed in this process one after another."""
    from serving.protocol import Limits
    from serving.service.loading import load_service
    from serving.service.local import ask_service
    from zoo.loading.device import device_for
    from zoo.loading.locate import locate
    from zoo.models.decoding import MAX_PIXELS

    checkpoint = locate(model)
    picked = str(device_for(checkpoint, device))
    # No other user to protect: only the decoder's caps. One answer per file, and nothing counts over two commands.
    limits = Limits(max_pixels=MAX_PIXELS, max_bytes=sys.maxsize, families=False)
    service = load_service(
        checkpoint,
        device=picked,
        limits=limits,
        backend=backend,
        precision=precision,
        spins=True,
        decodes_inline=True,
    )
    for path in paths:
        try:
            yield path, ask_service(service, _read(path), parameters)
        except ZooError as error:
            yield path, error


async def _in_order(
    ask: Callable[[Path], Coroutine[Any, Any, Outcome]], paths: Sequence[Path]
) -> AsyncGenerator[Outcome]:
    in_flight: deque[asyncio.Task[Outcome]] = deque()
    try:
        for path in paths:
            in_flight.append(asyncio.create_task(ask(path)))
            if len(in_flight) == MOST_IN_FLIGHT:
                yield await in_flight.popleft()
        while in_flight:
            yield await in_flight.popleft()
    finally:
        for task in in_flight:
            task.cancel()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"the file cannot be read: {error.strerror or error}") from error
