"""Many images by few requests at a time, in their order."""

import asyncio
from pathlib import Path

import pytest

from serving.commands.batch_prediction import MOST_IN_FLIGHT, _in_order, by_server
from tests.serving.client.scripted_server import ScriptedServer, answer, reply
from zoo.errors import RefusedError, RequestError

PATHS = [Path(str(index)) for index in range(10)]


def test_a_few_requests_are_in_flight_and_their_order_is_kept():
    in_flight, most, order = set(), 0, []

    async def ask(path):
        nonlocal most
        in_flight.add(path)
        most = max(most, len(in_flight))
        for _ in range(20 - 2 * int(path.name)):  # the later ones are done first
            await asyncio.sleep(0)
        in_flight.discard(path)
        order.append(path)
        return path, {}

    async def run():
        return [path async for path, _ in _in_order(ask, PATHS)]

    assert asyncio.run(run()) == PATHS and most == MOST_IN_FLIGHT and order != PATHS


def test_leaving_early_cancels_what_is_in_flight():
    cancelled = []

    async def ask(path):
        try:
            await asyncio.sleep(0 if path.name == "0" else 60)
        except asyncio.CancelledError:
            cancelled.append(path)
            raise
        return path, {}

    async def run():
        outcomes = _in_order(ask, PATHS)
        await anext(outcomes)
        await outcomes.aclose()

    asyncio.run(run())
    assert cancelled == PATHS[1:MOST_IN_FLIGHT]


def test_a_failure_is_the_images_own(tmp_path):
    (tmp_path / "image").write_bytes(b"image")
    acts = [reply(415, {"code": 415, "type": "ImageError", "message": "no image"}), reply(200, answer())]

    async def run(url):
        paths = [tmp_path / "image", tmp_path / "none", tmp_path / "image"]
        return [found async for _, found in by_server(url, paths, {"mode": "certify"}, token=None)]

    with ScriptedServer(acts) as server:
        first, unreadable, last = asyncio.run(run(server.url))
    assert {type(first), type(last)} == {RefusedError, dict}, "which of them came first is the network's to say"
    assert isinstance(unreadable, RequestError) and "the file cannot be read: No such file" in str(unreadable)
    with pytest.raises(RequestError, match="is not a URL"):
        raise asyncio.run(run("nonsense"))[0]
