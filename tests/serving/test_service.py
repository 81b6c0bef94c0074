"""The service without a server: every open request gets its own answer, whatever its neighbours do."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from serving.loading import load_from_archive, load_service
from serving.local import ask_service
from serving.protocol import Limits
from serving.service import InferenceService, fit_batch_size
from tests.zoo.test_spec import SPEC
from zoo.errors import CertificationError, RequestError, ServerError
from zoo.spec import Preprocessing

SMALL = SPEC.model_copy(
    update={"certified": SPEC.certified.model_copy(update={"preprocessing": Preprocessing(resize=4, crop=4)})}
)


class Brightness:
    """Class 1 for bright images; keeps the sizes of its batches."""

    name, num_classes, depends_on_batch_shape, draws_on = "brightness", 2, False, torch.device("cpu")

    def __init__(self):
        self.sizes = []

    def classify(self, x_BCHW):
        self.sizes.append(len(x_BCHW))
        return (x_BCHW.numpy().mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, format="PNG")
    return bytearray(buffer.getvalue())


@pytest.fixture
def service():
    limits = Limits(n=300, max_n=50_000, max_pixels=1000)
    return InferenceService(Brightness(), SMALL, sigma=0.25, model_sha256="ab", limits=limits, batch_size=64)


def drive(service, rows, *, steps=10_000):
    """Steps until every request is answered; answered ones leave, as their clients do."""
    replies, waiting = {}, dict(rows)
    while waiting and steps:
        for id, reply in service.step(waiting).items():
            if reply.is_last:
                replies[id] = reply
                del waiting[id]
        steps -= 1
    return replies


def test_mixed_requests_get_their_own_answers_in_one_set_of_steps(service):
    rows = {
        "bright": {"body": png(255)},
        "dark": {"data": png(0), "mode": b"predict", "n": b"50"},
        "broken": {"body": bytearray(b"nothing")},
        "empty": {"body": bytearray()},
        "large": {"body": bytearray(b"")},
        "unknown": {"data": png(0), "sigma": b"1"},
        "hopeless": {"data": png(0), "n": b"5"},
    }
    rows["large"] = {"body": bytearray(big_png())}
    replies = drive(service, rows)
    assert {id: reply.status for id, reply in replies.items()} == {
        "bright": 200, "dark": 200, "broken": 415, "empty": 400, "large": 413, "unknown": 400, "hopeless": 422,
    }  # fmt: skip
    assert replies["bright"].body["label"] == 1 and replies["bright"].body["certificate"]["n"] == 300
    assert replies["dark"].body["label"] == 0 and replies["dark"].body["votes"]["n"] == 50
    assert "the least n is 10" in replies["hopeless"].body["message"]
    assert replies["broken"].body["code"] == 415 and replies["broken"].body["type"] == "ImageError"


def big_png():
    buffer = io.BytesIO()
    Image.new("1", (100, 100)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_wrong_requests_are_answered_at_their_first_step(service):
    assert service.step({"x": {"body": bytearray(b"nothing")}})["x"].status == 415


def test_several_images_keep_their_order(service):
    import base64

    instances = [{"b64": base64.b64encode(png(value)).decode()} for value in (0, 255, 0, 255)]
    replies = drive(service, {"x": {"body": {"instances": instances, "parameters": {"mode": "predict"}}}})
    assert [each["label"] for each in replies["x"].body["predictions"]] == [0, 1, 0, 1]


def test_a_prediction_does_not_wait_for_a_long_certification(service):
    long, short = {"data": png(255), "n": b"50000"}, {"data": png(0), "mode": b"predict"}
    assert not service.step({"long": long})["long"].is_last
    replies = drive(service, {"long": long, "short": short}, steps=3)
    assert set(replies) == {"short"}


def test_a_client_that_went_away_is_forgotten(service):
    long = {"data": png(255), "n": b"50000"}
    service.step({"gone": long})
    service.step({"other": {"body": bytearray(b"nothing")}})
    assert service.engine.num_open == 0


def test_two_equal_requests_get_different_noise(service):
    noise = service.engine.sampler.base
    replies = drive(service, {id: {"data": png(140), "n": b"1000"} for id in range(6)})
    assert len({reply.body["certificate"]["count_a"] for reply in replies.values()}) > 1
    assert sum(noise.sizes) == 6 * 1100


def test_a_failing_network_answers_every_open_request_and_the_service_goes_on(service):
    real = service.engine.sampler.base.classify

    def broken(x_BCHW):
        raise CertificationError("logits that are not finite")

    service.engine.sampler.base.classify = broken
    replies = service.step({"a": {"body": png(0)}, "b": {"body": bytearray(b"nothing")}})
    assert (replies["a"].status, replies["b"].status) == (500, 415)
    assert "its log says why" in replies["a"].body["message"]
    service.engine.sampler.base.classify = real
    assert drive(service, {"c": {"body": png(255)}})["c"].status == 200


def test_a_checkpoint_is_served_locally_as_over_http(digits_checkpoint):
    service = load_service(digits_checkpoint, device="cpu", limits=Limits(n=200))
    told = ask_service(service, bytes(png(0)), {"mode": "certify"})
    assert told["certificate"]["sigma"] == 0.5 and told["model"]["sha256"] == digits_checkpoint.weights_sha256
    with pytest.raises(RequestError, match="no image"):
        ask_service(service, b"nothing", {})


def test_settings_that_could_never_certify_or_are_unknown_are_refused(digits_checkpoint):
    with pytest.raises(CertificationError, match="least n"):
        load_service(digits_checkpoint, device="cpu", limits=Limits(n=5))
    with pytest.raises(ServerError, match="section 'smoothing'"):
        load_from_archive(digits_checkpoint.path, {"smoothing": {"max_m": 5}}, device="cpu")


def test_the_step_fits_the_time_it_may_take():
    assert fit_batch_size(Brightness(), SMALL, seconds=60.0, largest=32) == 32
    assert fit_batch_size(Brightness(), SMALL, seconds=0.0, largest=32) == 1
