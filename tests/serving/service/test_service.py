"""The service without a server: every open request gets its own answer, whatever its neighbours do."""

import base64
import io
import itertools
import json
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from PIL import Image

from serving.protocol import Limits
from serving.service.decoding import InlineDecoder
from serving.service.loading import load_from_archive, load_service
from serving.service.local import ask_service
from serving.service.service import InferenceService
from serving.service.step_size import fit_batch_size
from tests.serving.journal import Journal
from tests.serving.toy import PADDED_TOY, toy_service, toy_spec
from tests.simulated_device import CUDA, simulated_device
from tests.zoo.models.test_spec import SPEC
from zoo.errors import CertificationError, OutOfMemoryError, RequestError, ServerError
from zoo.models.preprocessing import prepare
from zoo.models.spec import Preprocessing
from zoo.smoothing import NoiseKey, SmoothedClassifier, SmoothingSpec, TorchBackend
from zoo.smoothing.certificate import certified_radius
from zoo.smoothing.stopping import Tally, proved_by_sequence

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


class Clock:
    """Stands still unless it is told."""

    now = 100.0

    def __call__(self):
        return self.now


def new_service(batch_size=64, noise_secret=b"s" * 32, **limits):
    limits = Limits(**{"n": 300, "max_n": 50_000, "max_pixels": 1000} | limits)
    return InferenceService(
        Brightness(),
        SMALL,
        sigma=0.25,
        model_sha256="ab",
        limits=limits,
        batch_size=batch_size,
        noise_secret=noise_secret,
        observer=Journal(),
        clock=Clock(),
    )


@pytest.fixture(autouse=True)
def counted_keys(monkeypatch):
    """Noise that differs from image to image and is the same in every run. test_answer_cache checks repeatable keys."""
    jobs = itertools.count()
    monkeypatch.setattr("serving.service.admission.fresh_key", lambda: NoiseKey(root=7, job=next(jobs)))


@pytest.fixture
def service():
    return new_service()


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


@pytest.mark.parametrize("depth", [50, 300, 900, 980, 5_000])
def test_deeply_nested_json_is_refused_wherever_it_stands(depth, service):
    nested = b"[" * depth + b"]" * depth
    texts = [
        nested,
        b'{"instances": [{"b64": %b}]}' % nested,
        b'{"instances": [{"b64": ""}], "parameters": {"n": %b}}' % nested,
        b'{"inputs": [{"datatype": %b}]}' % nested,
        b'{"inputs": [{"datatype": "BYTES", "data": [""], "shape": %b}]}' % nested,
        b'{"inputs": [{"datatype": "BYTES", "data": %b}]}' % nested,
        b'{"inputs": [{"datatype": "BYTES", "data": [""], "shape": [1], "parameters": %b}]}' % nested,
        b'{"inputs": [], "outputs": [{"name": %b}]}' % nested,
        b'{"inputs": [], "id": %b}' % nested,
    ]
    rows = {place: {"body": bytearray(text)} for place, text in enumerate(texts)}
    if depth < 980:  # as TorchServe passes on what it can parse
        rows |= {f"parsed {place}": {"body": json.loads(text)} for place, text in enumerate(texts)}
    assert {reply.status for reply in service.step(rows).values()} == {400}


def test_several_images_keep_their_order(service):
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


def test_without_families_two_equal_requests_get_different_noise():
    service = new_service(families=False)
    noise = service.engine.sampler.base
    replies = drive(service, {id: {"data": png(140), "n": b"1000"} for id in range(6)})
    assert len({reply.body["certificate"]["count_a"] for reply in replies.values()}) > 1
    assert sum(noise.sizes) == 6 * 1100


class Choosy(Brightness):
    """Answers no batch that holds a black image, as a network whose logits for it are not finite."""

    def classify(self, x_BCHW):
        if (x_BCHW.numpy().mean(axis=(1, 2, 3)) < 0.2).any():
            raise CertificationError("logits that are not finite")
        return super().classify(x_BCHW)


def test_an_image_that_the_network_fails_on_costs_its_neighbours_nothing(service):
    service.engine.sampler.base = Choosy()
    anytime = {"stopping": b"anytime", "n": b"2000"}
    rows = {
        "black": {"data": png(0), "stopping": b"anytime", "stream": b"true"},
        "bright": {"data": png(255), **anytime},
        "also black": {"body": {"instances": [{"b64": base64.b64encode(png(v)).decode()} for v in (255, 0)]}},
        "gray": {"data": png(140), "n": b"1000"},
    }
    replies = drive(service, rows)
    assert {id: reply.status for id, reply in replies.items()} == {
        "black": 500, "bright": 200, "also black": 500, "gray": 200,
    }  # fmt: skip
    assert replies["bright"].body["certificate"]["radius"] > 0 and replies["gray"].body["certificate"]["n"] == 1000
    assert "its log gives the reason" in replies["also black"].body["message"]
    assert service.engine.num_open == 0, "the other image of a request that failed is not drawn for any more"
    assert service.observer.of("refused") == [{"error": "InternalServerError", "status": 500}] * 2


def test_after_a_failing_network_the_service_goes_on(service):
    real, service.engine.sampler.base = service.engine.sampler.base, Choosy()
    replies = service.step({"a": {"body": png(0)}, "b": {"body": bytearray(b"nothing")}})
    assert (replies["a"].status, replies["b"].status) == (500, 415)
    service.engine.sampler.base = real
    assert drive(service, {"c": {"body": png(255)}})["c"].status == 200


def stream(service, row):
    """The lines that a client is sent, and the reply that ended them."""
    lines = []
    while True:
        reply = service.step({"x": row})["x"]
        lines += [json.loads(line) for line in reply.text.splitlines()]
        if reply.is_last:
            return lines, reply


def test_a_stream_tells_a_growing_radius_that_its_own_counts_prove(service):
    row = {"data": png(140), "stopping": b"anytime", "tolerance": b"0", "n": b"3000", "stream": b"true"}
    lines, reply = stream(service, row)
    assert reply.content_type == "application/x-ndjson" and reply.status == 200
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    certificates = [line["certificate"] for line in lines]
    radii, nums = ([each[name] for each in certificates] for name in ("radius", "n"))
    assert len(lines) > 20 and radii == sorted(radii) and nums == sorted(nums) and 1000 < nums[-1] <= 3000
    assert radii[0] < 0.2 < radii[-1]
    for line in lines:
        certificate = line["certificate"]
        assert line["label"] is not None or certificate["radius"] == 0
        if certificate["p_a_lower"] is not None:
            assert line["final"] and certificate["radius"] == certified_radius(certificate["p_a_lower"], 0.25)
        elif line["label"] is not None:
            votes_first = Tally(count_a=certificate["count_a"], count_b=0, n=certificate["count_a"])
            assert certificate["radius"] <= proved_by_sequence(votes_first, sigma=0.25, alpha=certificate["alpha"])


def test_a_stream_says_nothing_before_the_class_is_chosen_and_nothing_twice(service):
    row = {"data": png(140), "stopping": b"at-radius", "radius": b"0.25", "n0": b"500", "stream": b"true"}
    rows = {"older": {"data": png(255), "n": b"50000"}, "x": row}
    first = [service.step(rows)["x"].text for _ in range(15)]
    assert first[:10] == [""] * 10 and first[-1], "500 draws at 48 a step, then lines"
    busy = {place: {"data": png(0), "mode": b"predict", "n": b"400"} for place in range(6)}
    assert [service.step(rows | busy)["x"].text for _ in range(5)] == [""] * 5, "no draw was made for it"
    lines, _ = stream(service, row)
    assert len({line["certificate"]["n"] for line in lines[:-1]}) == len(lines) - 1
    assert all(line["abstained"] for line in lines[:-1]) and lines[-1]["certificate"]["radius"] == 0.25


def test_a_stream_ends_with_what_the_same_request_is_answered_without_streaming():
    service = new_service(allows_seed=True)
    row = {"data": png(140), "stopping": b"anytime", "n": b"2000", "seed": b"5"}
    lines, _ = stream(service, row | {"stream": b"true"})
    whole = drive(service, {"x": row})["x"].body
    assert lines[-1] == whole | {"final": True} and len(lines) > 1


def service_of_four_milliseconds():
    """A service of 10 draws per step, each step of which takes 4 ms by its clock."""
    service = new_service(batch_size=10, allows_seed=True)
    base, clock = service.engine.sampler.base, service.clock
    classify = base.classify

    def classify_for_a_while(x_BCHW):
        clock.now += 0.004
        return classify(x_BCHW)

    base.classify = classify_for_a_while
    return service


def test_a_call_makes_further_short_steps_until_its_time_is_spent():
    service, row = service_of_four_milliseconds(), {"data": png(140), "n": b"300", "seed": b"5"}
    num_calls, reply = 0, None
    while reply is None or not reply.is_last:
        reply, num_calls = service.step({"x": row}, seconds=0.021)["x"], num_calls + 1
        assert len(service.engine.sampler.base.sizes) == min(5 * num_calls, 40)
    assert reply.text == drive(service_of_four_milliseconds(), {"x": row})["x"].text
    assert len(service.observer.of("stepped")) == 40


def test_a_call_ends_with_the_step_that_answers_a_request_and_lets_the_next_one_in():
    service = service_of_four_milliseconds()
    rows = {"long": {"data": png(140), "n": b"10000"}, "short": {"data": png(0), "mode": b"predict", "n": b"14"}}
    replies = service.step(rows, seconds=1.0)
    assert (replies["short"].is_last, replies["long"].has_news) == (True, False)
    assert service.clock.now < 100.02


def test_a_stream_has_the_same_lines_however_long_a_call_may_take():
    row = {"data": png(140), "stopping": b"anytime", "tolerance": b"0", "n": b"400", "seed": b"5", "stream": b"true"}
    texts = {}
    for seconds in (0.0, 1.0):
        service, lines, num_calls = service_of_four_milliseconds(), [], 0
        while not (lines and lines[-1].is_last):
            lines.append(service.step({"x": row}, seconds=seconds)["x"])
            num_calls += 1
        texts[seconds] = [line.text for line in lines if line.text], num_calls
    assert texts[1.0][0] == texts[0.0][0] and texts[1.0][1] < texts[0.0][1]


def test_a_failure_in_midstream_is_a_last_line(service):
    row = {"data": png(255), "stopping": b"anytime", "n": b"50000", "tolerance": b"0", "stream": b"true"}
    for _ in range(3):
        assert not service.step({"x": row})["x"].is_last
    service.engine.sampler.base.classify = lambda x_BCHW: 1 / 0
    reply = service.step({"x": row})["x"]
    assert reply.is_last and reply.text.endswith("\n") and reply.text.count("\n") == 1 and reply.body["code"] == 500


@pytest.mark.parametrize(
    "rule", [{"stopping": b"anytime", "tolerance": b"0"}, {"stopping": b"at-radius", "radius": b"0.7"}]
)
def test_at_its_deadline_a_request_is_answered_with_what_is_certified_so_far(service, rule):
    row = {"data": png(255), "n": b"50000", "deadline_ms": b"1500", **rule}
    for _ in range(20):
        assert not service.step({"x": row})["x"].is_last
    service.clock.now += 1.4
    assert not service.step({"x": row})["x"].is_last
    service.clock.now += 0.2
    told = service.step({"x": row})["x"].body
    assert told["deadline_reached"] is True and service.engine.num_open == 0
    assert 500 < told["certificate"]["n"] < 1300
    if rule["stopping"] == b"anytime":
        assert told["label"] == 1 and told["certificate"]["radius"] > 0.5
    else:
        assert told["abstained"] and told["certificate"]["radius"] == 0
    assert service.observer.of("answered")[-1]["deadline_reached"] is True


def test_a_deadline_before_the_class_is_chosen_is_an_abstention_without_copies(service):
    row = {"data": png(255), "stopping": b"anytime", "n0": b"1000", "deadline_ms": b"1", "copies": b"2"}
    service.step({"x": row})
    service.clock.now += 1
    told = service.step({"x": row})["x"].body
    assert (told["label"], told["certificate"]["n"], told["deadline_reached"], told["copies"]) == (None, 0, True, [])


def test_a_request_that_is_done_before_its_deadline_says_so(service):
    row = {"data": png(255), "stopping": b"anytime", "deadline_ms": b"60000"}
    assert drive(service, {"x": row})["x"].body["deadline_reached"] is False


def test_of_several_images_only_those_are_cut_that_are_not_finished():
    service = new_service(families=False)
    body = {
        "instances": [{"b64": base64.b64encode(png(value)).decode()} for value in (255, 129)],
        "parameters": {"stopping": "at-radius", "radius": 0.05, "n": 50_000, "deadline_ms": 1000},
    }
    for _ in range(40):
        assert not service.step({"x": {"body": body}})["x"].is_last
    service.clock.now += 2
    clear, unclear = service.step({"x": {"body": body}})["x"].body["predictions"]
    assert (clear["deadline_reached"], clear["certificate"]["radius"]) == (False, 0.05)
    assert (unclear["deadline_reached"], unclear["abstained"]) == (True, True)


def test_a_full_server_refuses_with_429_and_says_when_to_come_back():
    service = new_service(max_open_requests=2)
    long = {"data": png(255), "n": b"50000"}
    first = service.step(dict.fromkeys("abc", long))
    assert [first[id].is_last for id in "abc"] == [False, False, True]
    refusal = first["c"]
    assert refusal.status == 429 and refusal.body["type"] == "OverloadError"
    assert 1 <= int(refusal.headers["Retry-After"]) <= 60
    assert service.observer.of("refused") == [{"error": "OverloadError", "status": 429}]
    assert not service.step({"a": long, "d": long})["d"].is_last, "there is room again when a client went away"


def test_how_long_a_full_server_asks_to_wait_follows_from_its_speed():
    service = new_service(max_open_requests=1)
    long = {"data": png(255), "n": b"30000"}
    service.step({"a": long})
    service.step_size.seconds_per_draw = 0.001
    assert int(service.step({"a": long, "b": long})["b"].headers["Retry-After"]) == 31
    service.step_size.seconds_per_draw = 1.0
    assert int(service.step({"a": long, "c": long})["c"].headers["Retry-After"]) == 60


LONG = {
    "fixed": {"n": b"50000"},
    "anytime": {"n": b"50000", "stopping": b"anytime", "tolerance": b"0"},
    "at-radius": {"n": b"50000", "stopping": b"at-radius", "radius": b"0.068"},
}


@pytest.mark.parametrize("rule", LONG)
@pytest.mark.parametrize("num_steps_before", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("draws", [[b"128"], [b"64", b"64"], [b"32", b"64", b"20", b"12"]])
def test_predictions_of_half_a_step_are_answered_by_the_second_step_after_they_came(rule, num_steps_before, draws):
    service = new_service(batch_size=256)
    rows = {"long": {"data": png(130), **LONG[rule]}}
    for _ in range(num_steps_before):
        assert not service.step(rows)["long"].is_last
    rows |= {place: {"data": png(255), "mode": b"predict", "n": n} for place, n in enumerate(draws)}
    assert set(drive(service, rows, steps=2)) == set(range(len(draws)))


def test_a_prediction_goes_before_many_certifications_whose_rules_ask_for_little_at_a_time():
    service = new_service(batch_size=256)
    rows = {id: {"data": png(129), "stopping": b"at-radius", "radius": b"0.041", "n0": b"10"} for id in range(50)}
    for _ in range(40):  # about 200 draws each, after which a rule asks for 50
        service.step(rows)
    assert service.num_open > 40
    rows["short"] = {"data": png(255), "mode": b"predict", "n": b"100"}
    assert "short" in drive(service, rows, steps=2)


def test_a_long_certification_is_not_starved_by_predictions_that_keep_coming(service):
    certify = {"data": png(255), "n": b"1000"}
    for step in range(100):
        predict = {"data": png(0), "mode": b"predict", "n": b"50"}
        replies = service.step({"long": certify} | {(step, place): predict for place in range(2)})
        if replies["long"].is_last:
            break
    assert replies["long"].is_last and step == 66, "16 draws a step, until 50 are left"


def test_the_observer_is_told_of_draws_answers_refusals_and_clients_that_went_away(service):
    service.step({"gone": {"data": png(255), "n": b"50000"}})
    drive(service, {
        "sure": {"data": png(255), "stopping": b"anytime", "n": b"2000"},
        "unsure": {"data": png(128), "n": b"50"},
        "predict": {"data": png(0), "mode": b"predict"},
        "wrong": {"body": bytearray(b"nothing")},
    })  # fmt: skip
    told = service.observer
    assert told.of("forgotten") == [{"num_draws": 64}]
    assert told.of("refused") == [{"error": "ImageError", "status": 415}]
    assert sorted(each["mode"] for each in told.of("admitted")) == ["certify", "certify", "certify", "predict"]
    answered = {(each["mode"], each["stopping"]): each for each in told.of("answered")}
    assert set(answered) == {("certify", "anytime"), ("certify", "fixed"), ("predict", None)}
    assert answered["certify", "anytime"]["radii"][0] > 0.3 and answered["predict", None]["radii"] == []
    assert (answered["certify", "fixed"]["num_draws"], answered["predict", None]["num_draws"]) == (150, 100)
    drawn = sum(each["num_draws"] for each in told.of("stepped"))
    assert drawn == 64 + sum(each["num_draws"] for each in answered.values()) == sum(service.engine.sampler.base.sizes)
    assert all(each["num_draws"] <= each["capacity"] == 64 for each in told.of("stepped"))


def test_when_nobody_is_open_no_step_is_made(service):
    service.step({"wrong": {"body": bytearray(b"nothing")}})
    assert service.step({}) == {} and service.observer.of("stepped") == []


def test_the_copies_are_those_that_the_network_saw_first(service):
    shown = []
    service.engine.sampler.base.classify = lambda x_BCHW: (
        shown.extend(x_BCHW.clone()) or np.ones(len(x_BCHW), dtype=int)
    )
    for parameters in ({"mode": b"predict"}, {"stopping": b"anytime"}):
        shown.clear()
        copies = drive(service, {"x": {"data": png(128), "copies": b"3", **parameters}})["x"].body["copies"]
        pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) / 255 for each in copies]
        expected = torch.stack(shown[:3]).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        assert np.abs(np.stack(pictures) - expected).max() <= 0.5 / 255 + 1e-6 and expected.std() > 0.1


@pytest.mark.parametrize("mode", [b"predict", b"certify"])
def test_the_input_image_is_the_exact_tensor_before_noise(mode):
    rng = np.random.default_rng(0)
    tall = Image.fromarray(rng.integers(0, 256, (60, 20, 3), dtype=np.uint8))
    file = io.BytesIO()
    tall.save(file, format="PNG")
    row = {"data": file.getvalue(), "mode": mode, "n": b"50", "input_image": b"true"}
    body = drive(toy_service(spec=PADDED_TOY), {"x": row})["x"].body
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["input_image"]))))
    assert np.array_equal(shown.transpose(2, 0, 1) / np.float32(255), prepare(tall, PADDED_TOY.preprocessing).numpy())
    assert (shown[:, :5] == 255).all() and (shown[:, -5:] == 255).all()
    if mode == b"certify":
        assert body["certificate"]["input"].endswith("and pad to 16x16 with white")


@pytest.mark.parametrize(
    ("side", "asked", "said"),
    [(512, {"copies": b"4"}, "at most 3"), (720, {"input_image": b"true"}, "input_image is not available")],
)
def test_more_images_than_a_response_may_hold_are_refused(side, asked, said):
    service = InferenceService(
        Brightness(), toy_spec(Preprocessing(resize=side, crop=side)), sigma=0.25, model_sha256="ab", limits=Limits(),
        batch_size=4,
    )  # fmt: skip
    refusal = service.step({"x": {"data": png(0), **asked}})["x"]
    assert refusal.status == 400 and said in refusal.body["message"]


def test_draws_of_all_images_of_a_request_are_capped():
    service = new_service(max_draws_per_request=1000)
    image = base64.b64encode(png(255)).decode()
    for images, n, status in ((2, 400, 200), (2, 401, 400), (1, 900, 200), (1, 901, 400)):
        body = {"instances": [{"b64": image}] * images, "parameters": {"n": n}}
        reply = drive(service, {"x": {"body": body}})["x"]
        assert reply.status == status
    assert "this server accepts at most 1,000" in reply.body["message"]


def test_the_pixels_of_all_images_of_a_request_are_capped_together():
    service = new_service(max_pixels=40)
    image = base64.b64encode(png(255)).decode()  # 16 pixels
    for num_images, status in ((2, 200), (3, 413)):
        body = {"instances": [{"b64": image}] * num_images, "parameters": {"mode": "predict"}}
        reply = drive(service, {"x": {"body": body}})["x"]
        assert reply.status == status
    assert "together have more than 40 pixels" in reply.body["message"]


def test_memory_that_runs_out_halves_the_batch_and_fails_nobody(service):
    real = service.engine.sampler.base.classify

    def cramped(x_BCHW):
        if len(x_BCHW) > 20:
            raise OutOfMemoryError("no memory")
        return real(x_BCHW)

    service.engine.sampler.base.classify = cramped
    replies = drive(service, {id: {"data": png(255)} for id in range(3)})
    assert {reply.status for reply in replies.values()} == {200}
    assert "memory ran out at 64" in replies[0].body["certificate"]["backend"]
    assert service.engine.sampler.base.sizes[-1] <= 16


RULES = [
    {},
    {"stopping": "anytime", "tolerance": 0.1},
    {"stopping": "at-radius", "radius": 0.1},
    {"noise": "discrete"},
]


@pytest.mark.parametrize("rule", RULES)
def test_a_seed_gives_the_certificate_of_the_offline_classifier(rule):
    service = new_service(batch_size=32, allows_seed=True)
    images, seed = [150, 135, 120], 12345
    instances = [{"b64": base64.b64encode(png(value)).decode()} for value in images]
    # Neighbours make the packing another than offline.
    neighbours = {id: {"data": png(140), "n": b"500"} for id in range(3)}
    body = {"instances": instances, "parameters": {"n": 2000, "seed": seed, **rule}}
    told = drive(service, neighbours | {"x": {"body": body}})["x"].body["predictions"]

    from zoo.smoothing.named_rules import rule_from

    values = {name: rule.get(name) for name in ("radius", "tolerance")}
    spec = SmoothingSpec(
        sigma=0.25, stopping=rule_from(rule.get("stopping", "fixed"), n=2000, **values),
        noise=rule.get("noise", "gaussian"),
    )  # fmt: skip
    g = SmoothedClassifier(Brightness(), num_classes=2, smoothing=spec)
    generator = torch.Generator().manual_seed(seed)
    for value, answer in zip(images, told, strict=True):
        x_CHW = prepare(Image.new("L", (4, 4), value), SMALL.certified.preprocessing)
        offline = g.certify(x_CHW, generator=generator)
        certificate = answer["certificate"]
        assert answer["label"] == offline.label
        for name in ("radius", "p_a_lower", "count_a", "n", "n0"):
            assert certificate[name] == getattr(offline, name)


def test_a_seed_is_refused_by_name_unless_the_operator_allows_it(service):
    refusal = service.step({"x": {"data": png(0), "seed": b"1"}})["x"]
    assert refusal.status == 400 and "seed is refused" in refusal.body["message"]


def test_with_a_cache_the_same_question_gets_the_same_answer_without_a_draw():
    service = new_service(cached_answers=10)
    row = {"data": png(140), "n": b"1000"}
    first = drive(service, {"x": row})["x"].body
    drawn = sum(service.engine.sampler.base.sizes)
    same_pixels = io.BytesIO()
    Image.new("RGB", (4, 4), (140, 140, 140)).save(same_pixels, format="BMP")
    others = {"data": bytearray(same_pixels.getvalue()), "n": b"1000", "copies": b"1"}
    for again in (row, others, row | {"alpha": b"0.001", "stopping": b"fixed"}):
        told = drive(service, {"x": again})["x"].body
        assert len(told.pop("copies", [])) == int(again.get("copies", 0)) and told == first
    assert sum(service.engine.sampler.base.sizes) == drawn
    drive(service, {"x": row | {"n": b"1001"}})
    assert sum(service.engine.sampler.base.sizes) == drawn + 1101, "another n is another question"


def test_services_with_one_secret_give_a_question_one_answer_and_others_do_not():
    row = {"data": png(128), "n": b"1000"}  # even odds: every other noise gives another count

    def body(service, **changes):
        return drive(service, {"x": row | changes})["x"].body

    workers = [new_service(batch_size=batch_size, cached_answers=1) for batch_size in (64, 50)]
    first, second = (body(worker) for worker in workers)
    assert first == second and first["repeatable"]
    another_default = new_service(cached_answers=1, n=500)
    assert body(another_default) == first
    for worker in workers:  # one answer is kept, and evicting it changes nothing
        body(worker, mode=b"predict", n=b"7")
        assert body(worker) == first
    counts = {
        body(new_service(cached_answers=1, noise_secret=bytes([byte]) * 32))["certificate"]["count_a"]
        for byte in range(5)
    }
    assert len(counts) > 1, "another secret draws other noise"


def test_a_fresh_answer_says_that_it_is_and_a_seeded_one_that_it_repeats():
    row = {"data": png(0), "mode": b"predict"}
    assert drive(new_service(families=False), {"x": row})["x"].body["repeatable"] is False
    seeded = drive(new_service(allows_seed=True), {"x": row | {"seed": b"3"}})["x"].body
    assert seeded["repeatable"] is True


def test_with_a_cache_a_question_that_was_cut_off_meets_the_same_draws_again():
    service = new_service(cached_answers=10)
    row = {"data": png(140), "n": b"3000", "stopping": b"anytime", "tolerance": b"0"}

    def cut_after(steps):
        for _ in range(steps):
            service.step({"x": row | {"deadline_ms": b"1000"}})
        service.clock.now += 5
        return service.step({"x": row})["x"].body["certificate"]

    first, second = cut_after(10), cut_after(10)
    assert first == second and 0 < first["n"] < 3000
    assert drive(service, {"x": row})["x"].body["certificate"]["n"] > first["n"]


class HeldBack(InlineDecoder):
    """Decodes an image when the test says so, except black ones, which are decoded at once."""

    def __init__(self):
        super().__init__(SMALL.preprocessing, Limits(max_pixels=1000))
        self.futures = []

    def submit(self, images):
        if bytes(png(0)) in images:
            return super().submit(images)
        self.futures.append((Future(), images))
        return self.futures[-1][0]

    def decode(self, place):
        future, images = self.futures[place]
        error = super().submit(images).exception()
        future.set_exception(error) if error else future.set_result(super().submit(images).result())


@pytest.fixture
def held_back(service):
    service._decoder = HeldBack()
    return service._decoder


QUICK = {"data": png(0), "mode": b"predict"}


def test_while_an_image_is_decoded_others_are_answered_and_it_is_answered_later(service, held_back):
    slow = {"slow": {"data": png(255), "mode": b"predict"}}
    for place in range(3):
        assert set(drive(service, slow | {place: QUICK}, steps=3)) == {place}
    assert (
        service.num_open == 1
        and service.observer.of("admitted") == [{"mode": "predict", "stopping": None, "num_images": 1}] * 3
    )
    held_back.decode(0)
    assert drive(service, slow)["slow"].body["label"] == 1 and service.num_open == 0


def test_an_image_that_is_refused_after_many_steps_has_a_status_of_its_own(service, held_back):
    row = {"x": {"data": b"nothing"}}
    assert [service.step(row) for _ in range(3)] == [{}] * 3
    held_back.decode(0)
    assert service.step(row)["x"].status == 415 and service.num_open == 0
    assert service.observer.of("refused") == [{"error": "ImageError", "status": 415}]


def test_a_client_that_went_away_is_not_decoded_for(service, held_back):
    service.step({"gone": {"data": png(255)}})
    service.step({"other": QUICK})
    assert held_back.futures[0][0].cancelled() and service.observer.of("forgotten") == [{"num_draws": 0}]


def test_images_that_are_to_be_decoded_count_as_open_and_refused_ones_make_room_at_once():
    service = new_service(max_open_requests=3)
    rows = {place: {"data": b"nothing"} for place in range(3)} | {"late": QUICK}
    assert {id: reply.status for id, reply in service.step(rows).items()} == {0: 415, 1: 415, 2: 415, "late": 200}
    service._decoder = HeldBack()
    rows = {place: {"data": png(255)} for place in range(3)}
    assert service.step(rows) == {} and service.num_open == 3
    assert service.step(rows | {"late": QUICK})["late"].status == 429


def test_a_deadline_runs_from_the_reading_of_the_request(service, held_back):
    row = {"x": {"data": png(255), "stopping": b"anytime", "n": b"50000", "deadline_ms": b"1000"}}
    service.step(row)
    service.clock.now += 2
    held_back.decode(0)
    assert service.step(row)["x"].body["deadline_reached"] is True


def test_answers_come_as_tensors_in_the_open_inference_protocol(service):
    data = [base64.b64encode(png(value)).decode() for value in (0, 128, 255)]
    tensor = {"name": "image", "shape": [3], "datatype": "BYTES", "data": data}
    body = {"id": "seven", "inputs": [tensor], "parameters": {"n": 200}}
    told = drive(service, {"x": {"body": body}})["x"].body
    assert (told["id"], told["model_name"]) == ("seven", SMALL.name)
    label, radius, whole = told["outputs"]
    assert (label["datatype"], label["shape"], label["data"]) == ("INT64", [3], [0, -1, 1])
    assert radius["datatype"] == "FP64" and radius["data"][1] == 0 < min(radius["data"][0], radius["data"][2])
    objects = [json.loads(each) for each in whole["data"]]
    assert [each["label"] for each in objects] == [0, None, 1] and whole["datatype"] == "BYTES"
    wrong = service.step({"y": {"body": body | {"parameters": {"m": 1}}}})["y"]
    assert wrong.status == 400 and wrong.body["error"] == wrong.body["message"]


def test_a_checkpoint_is_served_locally_as_over_http(digits_checkpoint):
    service = load_service(digits_checkpoint, device="cpu", limits=Limits(n=200))
    told = ask_service(service, bytes(png(0)), {"mode": "certify"})
    assert told["certificate"]["sigma"] == 0.5 and told["model"]["sha256"] == digits_checkpoint.weights_sha256
    with pytest.raises(RequestError, match="not an image"):
        ask_service(service, b"nothing", {})


def test_settings_that_could_never_certify_or_are_unknown_are_refused(digits_checkpoint):
    with pytest.raises(CertificationError, match="least n"):
        load_service(digits_checkpoint, device="cpu", limits=Limits(n=5))
    with pytest.raises(ServerError, match="section 'smoothing'"):
        load_from_archive(digits_checkpoint.path, {"smoothing": {"max_m": 5}}, device="cpu")


def test_the_step_fits_the_time_it_may_take():
    assert fit_batch_size(Brightness(), SMALL, seconds=60.0, largest=32) == 32
    assert fit_batch_size(Brightness(), SMALL, seconds=0.0, largest=32) == 1


@pytest.mark.parametrize("fitting", [1, 8])
def test_the_step_fits_the_memory(fitting):
    class Cramped(Brightness):
        def classify(self, x_BCHW):
            if len(x_BCHW) > fitting:
                raise OutOfMemoryError("no memory")
            return super().classify(x_BCHW)

    assert fit_batch_size(Cramped(), SMALL, seconds=60.0, largest=32) == fitting


def test_the_step_is_measured_with_images_that_are_on_the_device():
    with simulated_device() as traffic:
        base = TorchBackend(torch.nn.Flatten(), num_classes=48, device=CUDA)
        fit_batch_size(base, SMALL, seconds=0.0, largest=4)
        assert traffic.copies_in.total() == 0, traffic


def test_a_request_that_the_engine_does_not_take_is_refused_at_once_and_holds_no_room(monkeypatch):
    service = new_service()
    with monkeypatch.context() as patch:
        patch.setattr(service.engine, "admit", lambda job: (_ for _ in ()).throw(RuntimeError("no room")))
        reply = service.step({"x": {"data": png(200)}})["x"]
    assert reply.is_last and reply.status == 500 and service.num_open == 0
    assert drive(service, {"y": {"data": png(200)}})["y"].status == 200
