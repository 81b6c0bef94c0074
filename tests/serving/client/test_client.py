"""The client against a scripted server: it asks again where that helps, and only there; both clients do the same."""

import asyncio
import base64
import io
import json
import re
import subprocess
import sys
import threading
from contextlib import aclosing

import httpx
import pytest
from PIL import Image

from serving.client import NO_RETRY, AsyncClient, Certificate, Client, RetryPolicy, StreamUpdate
from serving.client.payload import body
from serving.client.retrying import Pause, exchange
from tests.serving.client.scripted_server import ScriptedServer, answer, died, reply, reset, say_nothing, stream
from zoo.errors import RefusedError, RequestError, ServerError, ServerUnavailableError, StreamInterruptedError
from zoo.models.decoding import decode_image

VOTES = {"certificate": None, "votes": {"n": 100, "top": [[7, 98], [1, 2]], "alpha": 0.001}}
BUSY = {"code": 429, "type": "OverloadError", "message": "full"}


class Clock:
    """Time that passes by waiting only."""

    def __init__(self):
        self.time, self.pauses = 0.0, []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds

    async def sleep_async(self, seconds):
        self.sleep(seconds)


class Blocking:
    """Asks by the blocking client."""

    def __init__(self, url, clock, **options):
        self.make = lambda: Client(url, now=clock.now, sleep=clock.sleep, random=lambda: 0.0, **options)

    def call(self, method, *args, **parameters):
        with self.make() as client:
            return getattr(client, method)(*args, **parameters)

    def stream(self, *args, **parameters):
        updates = []
        with self.make() as client:
            try:
                for update in client.certify_stream(*args, **parameters):
                    updates.append(update)
            except Exception as error:
                return updates, error
        return updates, None


class Asynchronous:
    """Asks by the asynchronous one."""

    def __init__(self, url, clock, **options):
        self.make = lambda: AsyncClient(url, now=clock.now, sleep=clock.sleep_async, random=lambda: 0.0, **options)

    def call(self, method, *args, **parameters):
        async def run():
            async with self.make() as client:
                return await getattr(client, method)(*args, **parameters)

        return asyncio.run(run())

    def stream(self, *args, **parameters):
        async def run():
            updates = []
            async with self.make() as client:
                try:
                    async for update in client.certify_stream(*args, **parameters):
                        updates.append(update)
                except Exception as error:
                    return updates, error
            return updates, None

        return asyncio.run(run())


@pytest.fixture(params=[Blocking, Asynchronous])
def kind(request):
    """Each of the two clients."""
    return request.param


@pytest.fixture
def clock():
    """A clock that waits without waiting."""
    return Clock()


def test_answers_are_typed_and_lose_nothing(kind, clock):
    sent = [answer(), answer(label=None, class_name=None, abstained=True, radius=0.0), answer(**VOTES)]
    with ScriptedServer([reply(200, each) for each in sent]) as server:
        asking = kind(server.url, clock)
        sure, unsure = asking.call("certify", b"image", n=1000), asking.call("certify", b"image")
        seen = asking.call("predict", b"image")
    assert isinstance(sure.certificate, Certificate) and (sure.label, sure.radius, sure.certificate.n) == (7, 0.5, 1000)
    assert unsure.abstained and unsure.label is None and unsure.radius == 0.0
    assert seen.certificate is None and seen.votes.top == [[7, 98], [1, 2]] and seen.radius == 0.0
    assert [each.to_json() for each in (sure, unsure, seen)] == sent
    with pytest.raises(ValueError, match="frozen"):
        sure.label = 3


def test_what_a_newer_server_adds_is_kept(kind, clock):
    newer = answer(norm="linf", extra={"a": 1})
    with ScriptedServer([reply(200, newer)]) as server:
        assert kind(server.url, clock).call("certify", b"image").to_json() == newer


def test_one_image_goes_as_a_form_and_several_as_json_in_their_order(kind, clock, tmp_path):
    (tmp_path / "image").write_bytes(b"of a file")
    two = {"predictions": [answer(label=1), answer(label=2)]}
    with ScriptedServer([reply(200, answer()), reply(200, two)]) as server:
        asking = kind(server.url, clock, token="secret")
        asking.call("certify", tmp_path / "image", stopping="at-radius", radius=0.5)
        told = asking.call("certify_all", [b"first", Image.new("L", (2, 2))], n=200)
    form, several = server.requests
    assert form.startswith(b"POST /predictions/digits ") and b"Authorization: Bearer secret" in form
    for name, value in {"mode": "certify", "stopping": "at-radius", "radius": "0.5"}.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in form
    assert b"of a file" in form
    asked = json.loads(several.partition(b"\r\n\r\n")[2])
    assert asked["parameters"] == {"mode": "certify", "n": 200}
    assert base64.b64decode(asked["instances"][0]["b64"]) == b"first"
    assert Image.open(io.BytesIO(base64.b64decode(asked["instances"][1]["b64"]))).size == (2, 2)
    assert [each.label for each in told] == [1, 2]


def test_a_label_set_is_an_answer_of_its_own_without_a_label_or_a_certificate(kind, clock):
    guarantee = {
        "coverage": "marginal", "norm": "l2", "radius": 0.25, "alpha": 0.1, "sigma": 0.5, "noise": "gaussian", "n": 1,
        "task": "digits", "num_calibration_images": 120, "input": "3x32x32", "backend": "torch-cpu-float32",
    }  # fmt: skip
    model = {"name": "digits", "sha256": "ab"}
    one = {"labels": [7, 1], "class_names": ["7", "1"], "set": guarantee, "repeatable": False, "model": model}
    with ScriptedServer([reply(200, one), reply(200, {"predictions": [one, one]})]) as server:
        asking = kind(server.url, clock)
        told = asking.call("label_set", b"image", radius=0.25)
        assert (told.labels, told.set.coverage, told.set.alpha) == ([7, 1], "marginal", 0.1)
        assert told.to_json() == one and not hasattr(told, "certificate")
        assert len(asking.call("label_set_all", [b"first", b"second"])) == 2
    assert b'name="mode"\r\n\r\nset\r\n' in server.requests[0]


@pytest.mark.parametrize(
    "fault", [reset, died(), reply(503, {"code": 503}), reply(429, BUSY), reply(503, b""), reply(502, b"<html>")]
)
def test_what_passes_by_itself_is_asked_again(fault, kind, clock):
    with ScriptedServer([fault, fault, reply(200, answer())]) as server:
        assert kind(server.url, clock).call("certify", b"image").label == 7
    assert clock.pauses == [0.25, 0.5] and len(server.requests) == 3


def test_a_worker_that_dies_after_the_answer_has_begun_is_asked_again(kind, clock):
    with ScriptedServer([stream(b" ", ends=False), reply(200, answer())]) as server:
        assert kind(server.url, clock).call("certify", b"image").label == 7
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "name"), [(400, "InvalidKeyException"), (404, "x"), (413, "x"), (415, "ImageError")]
)
def test_what_is_refused_is_not_asked_again(status, name, kind, clock):
    refusal = reply(status, {"code": status, "type": name, "message": "for a reason"})
    said = rf"refused the request \({status}\): for a reason"
    with ScriptedServer([refusal]) as server, pytest.raises(RefusedError, match=said) as refused:
        kind(server.url, clock).call("certify", b"image")
    assert refused.value.http_status == status and refused.value.exit_code == 2 and clock.pauses == []


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (reply(500, {"code": 500, "message": "the server failed"}), "answered 500: the server failed"),
        (reply(200, {"code": 500, "message": "the server failed"}), "answered 500: the server failed"),
        (reply(413, b""), None),
        (reply(200, {"status": "Healthy"}), "a response that is not a model's"),
        (reply(200, b"<html>"), "a response that is not a model's"),
        (reply(200, [1]), "a response that is not a model's"),
        (reply(301, b"", Location="/x"), "a response that is not a model's"),
        (reply(200, answer(radius="large")), "a response that is not a model's"),
        (reply(200, b"\x1f\x8bno gzip", Content_Encoding="gzip"), "cannot be read"),
    ],
)
def test_other_failures_are_told_at_once(act, said, kind, clock):
    with ScriptedServer([act]) as server, pytest.raises(ServerError if said else RefusedError, match=said):
        kind(server.url, clock).call("certify", b"image")
    assert clock.pauses == []


def test_attempts_are_bounded_by_number(kind, clock):
    said = r"no answer from \S+: \S.* \(attempt 3\)"
    with ScriptedServer([reset] * 3) as server, pytest.raises(ServerUnavailableError, match=said) as failed:
        kind(server.url, clock, retry=RetryPolicy(max_retries=2)).call("certify", b"image")
    assert len(server.requests) == 3 and failed.value.exit_code == 1


def test_attempts_are_bounded_by_time(kind, clock):
    said = r"Worker died.*\(attempt 4\)"
    with ScriptedServer([died()] * 4) as server, pytest.raises(ServerUnavailableError, match=said):
        kind(server.url, clock, retry=RetryPolicy(max_retries=98, max_elapsed=2.0)).call("certify", b"image")
    assert clock.pauses == [0.25, 0.5, 1.0], "a fourth pause, of 2 s, would have ended after the 2 s"


def test_no_retry_means_none(kind, clock):
    with ScriptedServer([reset]) as server, pytest.raises(ServerUnavailableError, match="no answer"):
        kind(server.url, clock, retry=NO_RETRY).call("predict", b"image")


def test_retry_after_is_honoured_in_seconds_and_as_a_date(kind, clock):
    acts = [reply(429, BUSY, Retry_After="7"), reply(503, BUSY, Retry_After="nonsense"), reply(200, answer())]
    with ScriptedServer(acts) as server:
        kind(server.url, clock).call("certify", b"image")
    assert clock.pauses == [7.0, 0.5]
    far = reply(429, BUSY, Retry_After="Wed, 01 Jan 2200 00:00:00 GMT")
    with ScriptedServer([far]) as server, pytest.raises(ServerUnavailableError, match="answered 429: full"):
        kind(server.url, clock).call("certify", b"image")


def test_the_exchange_needs_neither_socket_nor_clock():
    steps = exchange("http://x/", retry=RetryPolicy(), now=lambda: 0.0, random=lambda: 0.0)
    next(steps)
    assert steps.send(httpx.ReadError("gone")) == Pause(0.25)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(httpx.Response(200, json=answer()))
    assert end.value.value.status_code == 200


def test_a_silent_server_is_left_after_the_time_to_wait_and_not_asked_again(kind, clock):
    with (
        ScriptedServer([say_nothing]) as server,
        pytest.raises(ServerUnavailableError, match="no data within this client's timeout"),
    ):
        kind(server.url, clock, timeout=0.2).call("certify", b"image")
    assert len(server.requests) == 1 and clock.pauses == []


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/y", "http://x:port/", "http://"])
def test_an_address_that_is_none_is_the_users_to_mend(url, kind, clock):
    with pytest.raises(RequestError, match="is not a URL"):
        kind(url, clock).call("certify", b"image")
    assert clock.pauses == []


@pytest.mark.parametrize("token", ["", "ends\r\nX: y", "schlüssel"])
def test_a_token_that_can_be_none_is_refused_and_not_repeated(token, kind, clock):
    with pytest.raises(RequestError, match="must be printable ASCII") as refused:
        kind("http://127.0.0.1:1/predictions/x", clock, token=token).call("certify", b"image")
    assert not token or token not in str(refused.value)


def lines_of(*radii):
    updates = [answer(radius=radius, stopping="anytime", final=False) for radius in radii]
    return [*updates[:-1], {**updates[-1], "final": True}]


def test_a_stream_is_read_update_by_update(kind, clock):
    with ScriptedServer([reply(429, BUSY), stream(*lines_of(0.0, 0.2, 0.3))]) as server:
        updates, error = kind(server.url, clock).stream(b"image", n=5000)
    assert error is None and [update.radius for update in updates] == [0.0, 0.2, 0.3]
    assert [update.final for update in updates] == [False, False, True] and isinstance(updates[0], StreamUpdate)
    assert (
        b'name="stream"\r\n\r\ntrue' in server.requests[1] and b'name="stopping"\r\n\r\nanytime' in server.requests[1]
    )


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        (stream(*lines_of(0.1, 0.2, 0.3)[:2], ends=False), 2),
        (stream(*lines_of(0.1, 0.2, 0.3)[:2]), 2),
        (stream(lines_of(0.1, 0.3)[0], b'{"label": 7, "cla'), 1),
        (stream(), 0),
        (stream(ends=False), 0),
    ],
)
def test_a_stream_that_breaks_off_is_told_so_is_not_repeated_and_can_be_asked_for_again(act, seen, kind, clock):
    with ScriptedServer([act, stream(*lines_of(0.3, 0.4))]) as server:
        asking = kind(server.url, clock)
        updates, error = asking.stream(b"image")
        assert isinstance(error, StreamInterruptedError) and len(updates) == seen and len(server.requests) == 1
        assert (f"radius {0.1 * seen:.4g} is certified" if seen else "nothing is certified") in str(error)
        assert re.search(r"broke off: \w", str(error)), "it says why"
        updates, error = asking.stream(b"image")
    assert error is None and updates[-1].radius == 0.4 and clock.pauses == []


@pytest.mark.parametrize(
    ("act", "kind_of_error", "said"),
    [
        (reply(400, {"code": 400, "message": "stream goes with anytime"}), RefusedError, "goes with anytime"),
        (stream(lines_of(0.1, 0.2)[0], {"code": 500, "message": "the server failed"}), ServerError, "answered 500"),
        (reply(200, {"status": "Healthy"}), ServerError, "a response that is not a model's"),
        (reply(302, b""), ServerError, "a response that is not a model's"),
    ],
)
def test_a_stream_may_be_an_error_from_its_start_or_end_in_one(act, kind_of_error, said, kind, clock):
    with ScriptedServer([act]) as server:
        _, error = kind(server.url, clock).stream(b"image")
    assert type(error) is kind_of_error and said in str(error)


def test_leaving_a_stream_closes_its_connection():
    closed = threading.Semaphore(0)

    def endless(connection):
        stream(*lines_of(0.1, 0.2)[:1], ends=False)(connection)
        if connection.recv(1) == b"":
            closed.release()

    with ScriptedServer([endless, endless]) as server:
        with Client(server.url) as client:
            updates = client.certify_stream(b"image")
            next(updates)
            updates.close()
            assert closed.acquire(timeout=30), "it must not wait for the client's end"

        async def leave():
            async with AsyncClient(server.url) as client:
                async with aclosing(client.certify_stream(b"image")) as updates:
                    await anext(updates)
                assert await asyncio.to_thread(closed.acquire, timeout=30)

        asyncio.run(leave())


def test_a_pillow_picture_is_sent_as_the_server_would_decode_its_file():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((5, 9)).save(file, "JPEG", exif=exif)
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    cmyk = Image.new("CMYK", (2, 2), (0, 255, 255, 0))  # PNG has no CMYK
    turned, white, red = (
        decode_image(body([picture], {})["files"]["data"][1]) for picture in (Image.open(file), clear, cmyk)
    )
    assert turned.size == (9, 5) and turned.tobytes() == decode_image(file.getvalue()).tobytes()
    assert white.getpixel((0, 0)) == (255, 255, 255) and red.getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(RequestError, match="more than 8 bits"):
        body([Image.new("I;16", (2, 2))], {})


def test_the_client_imports_neither_torch_nor_torchserve():
    code = "import sys, serving.client; print(sorted({'torch', 'ts', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_the_real_server_answers_both_clients(kind, clock, served, digit_pngs):
    asking = kind(served.url, clock)
    rule = {"stopping": "anytime", "n": 1000, "tolerance": 0.0, "seed": 5}
    whole, (updates, error) = asking.call("certify", digit_pngs[0], **rule), asking.stream(digit_pngs[0], **rule)
    assert error is None and updates[-1].certificate == whole.certificate and len(updates) > 1
    assert [update.radius for update in updates] == sorted(update.radius for update in updates)
    several = asking.call("certify_all", digit_pngs[:3], n=200, seed=5)
    alone = [asking.call("predict", png, n=50).label for png in digit_pngs[:3]]
    assert [each.label for each in several] == alone and len(set(alone)) > 1
    one = asking.call("predict", digit_pngs[0], n=50, copies=2)
    assert one.votes.n == 50 and len(one.copies) == 2 and one.model.name == served.name
    with pytest.raises(RefusedError, match="not an image") as refused:
        asking.call("certify", b"nothing")
    assert refused.value.http_status == 415
    _, error = asking.stream(digit_pngs[0], stopping="fixed")
    assert isinstance(error, RefusedError) and "stream requires" in str(error)
