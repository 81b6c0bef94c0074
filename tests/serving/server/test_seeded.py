"""Where the operator allows seeds, a certificate over HTTP is the offline certificate for the same seed."""

import base64
import io
from dataclasses import asdict

import httpx
import pytest
import torch
from PIL import Image

from serving.protocol import Limits
from serving.service.service import InferenceService
from tests.serving.conftest import on_all_engines
from tests.serving.service.test_service import SMALL, Brightness, drive, png
from zoo.loading.backend import open_backend
from zoo.models.decoding import decode_image
from zoo.models.preprocessing import prepare
from zoo.smoothing import FamilyMember, SmoothedClassifier, SmoothingSpec
from zoo.smoothing.named_rules import rule_from

pytestmark = pytest.mark.slow
RULES = {
    "fixed": {},
    "anytime": {"tolerance": 0.2},
    "at-radius": {"radius": 0.5},
}
CASES = [(stopping, noise, seed) for seed, stopping in enumerate(RULES) for noise in ("gaussian", "discrete")]


@pytest.fixture(scope="module")
def certify_offline(digits_checkpoint):
    """Certifies by the offline face, in batches of a size that no server would choose."""
    base = open_backend(digits_checkpoint)

    def certify(data, *, stopping, noise, seed, images=1):
        rule = rule_from(stopping, n=700, **RULES[stopping])
        spec = SmoothingSpec(sigma=0.5, n0=30, alpha=0.01, stopping=rule, noise=noise)
        g = SmoothedClassifier(base, num_classes=10, smoothing=spec, batch_size=37)
        x_CHW = prepare(decode_image(data, max_pixels=10_000), digits_checkpoint.spec.preprocessing)
        generator = torch.Generator().manual_seed(seed)
        return [g.certify(x_CHW, generator=generator) for _ in range(images)]

    return certify


def expected_json(certificate):
    """The certificate as the server tells it; what is covered, it says in words of its own."""
    told = asdict(certificate)
    return {name: told[name] for name in told if name not in ("label", "class_name", "input")}


def without_input(told):
    return {name: value for name, value in told.items() if name != "input"}


@pytest.mark.parametrize(("stopping", "noise", "seed"), CASES)
def test_a_certificate_over_http_is_the_offline_one_and_the_engines_send_the_same_bytes(
    served, served_by_asgi, served_by_ray, digit_pngs, certify_offline, stopping, noise, seed
):
    (offline,) = certify_offline(digit_pngs[seed], stopping=stopping, noise=noise, seed=seed)
    fields = {"stopping": stopping, "noise": noise, "seed": seed, "n": 700, "n0": 30, "alpha": 0.01, **RULES[stopping]}
    responses = [
        httpx.post(each.url, files={"data": digit_pngs[seed]}, data=fields, timeout=120)
        for each in (served, served_by_asgi, served_by_ray)
    ]
    answer = responses[0].json()
    assert len({response.content for response in responses}) == 1 and answer["label"] == offline.label
    assert without_input(answer["certificate"]) == expected_json(offline)
    assert offline.count_a > 30, "the comparison must be one of certificates that have something to say"


@on_all_engines
def test_each_image_of_a_request_gets_the_next_noise_of_the_seed(served, digit_pngs, certify_offline):
    offline = certify_offline(digit_pngs[0], stopping="fixed", noise="gaussian", seed=9, images=2)
    instances = [{"b64": base64.b64encode(digit_pngs[0]).decode()}] * 2
    parameters = {"n": 700, "n0": 30, "alpha": 0.01, "seed": 9}
    answer = httpx.post(served.url, json={"instances": instances, "parameters": parameters}, timeout=120).json()
    told = [without_input(each["certificate"]) for each in answer["predictions"]]
    assert told == [expected_json(each) for each in offline]


@on_all_engines
def test_a_stream_ends_with_the_offline_certificate(served, digit_pngs, certify_offline):
    (offline,) = certify_offline(digit_pngs[1], stopping="anytime", noise="gaussian", seed=1)
    fields = {"stopping": "anytime", "tolerance": 0.2, "n": 700, "n0": 30, "alpha": 0.01, "seed": 1, "stream": "true"}
    text = httpx.post(served.url, files={"data": digit_pngs[1]}, data=fields, timeout=120).text
    last = httpx.Response(200, text=text.splitlines()[-1]).json()
    assert last["final"] and without_input(last["certificate"]) == expected_json(offline)


def test_a_seed_is_refused_by_name_unless_the_operator_allows_it():
    service = InferenceService(Brightness(), SMALL, sigma=0.25, model_sha256="ab", limits=Limits(n=300), batch_size=64)
    replies = drive(service, {"seeded": {"data": png(255), "seed": b"1"}, "other": {"data": png(255)}})
    assert replies["other"].status == 200
    assert replies["seeded"].status == 400 and "seed is refused" in replies["seeded"].body["message"]


@on_all_engines
def test_without_a_seed_a_question_is_answered_once_and_every_other_one_spends_alpha(served):
    gray = io.BytesIO()
    Image.new("L", (8, 8), 128).save(gray, format="PNG")

    def ask(n):
        return httpx.post(served.url, files={"data": gray.getvalue()}, data={"n": n}, timeout=120).json()

    first, again, other = ask(400), ask(400), ask(401)
    assert first == again and first["repeatable"]
    families = [answer["certificate"]["family"] for answer in (first, other)]
    assert families[1] == families[0] | {"index": families[0]["index"] + 1}
    assert other["certificate"]["alpha"] == FamilyMember(**families[1]).level < first["certificate"]["alpha"] < 0.001
