"""Load-test clients that check every answer against the image's offline label and against the answer's own counts."""

from __future__ import annotations

import asyncio
import io
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import numpy as np
from PIL import Image

from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.models.preprocessing import prepare
from zoo.smoothing import (
    BaseClassifier,
    Certificate,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.radius import certified_radius

PREDICTION_DRAWS = 100
CERTIFICATION_DRAWS = 1_000
RADIUS_ASKED = 0.25
SURE_DRAWS = 400
SURE_SHARE = 0.97  # radius 0.94 at sigma 0.5: every rule of the load decides, except with probability below 1e-9
TIMEOUT = httpx.Timeout(10.0, read=120.0, pool=None)
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class SurePicture:
    """An encoded image on which the smoothed classifier is confident, and its offline label."""

    data: bytes
    label: int


def sure_pictures(checkpoint: Checkpoint, base: BaseClassifier, task: Task, *, count: int) -> list[SurePicture]:
    """The first `count` test images on which the smoothed classifier is confident in offline certification."""
    sigma = checkpoint.spec.certified.sigma
    assert sigma is not None
    engine = CertificationEngine(NoisySampler(base, SamplingOptions()))
    smoothing = SmoothingSpec(sigma=sigma, n0=100, n=SURE_DRAWS)
    pictures: list[SurePicture] = []
    for index in range(len(task.test)):
        x_CHW = prepare(task.test[index], checkpoint.spec.preprocessing)
        engine.admit(Certification(index, x_CHW, smoothing=smoothing, key=NoiseKey(root=1, job=index)))
        while engine.num_open:
            for finished in engine.step():
                certificate = finished.result
                assert isinstance(certificate, Certificate)
                if certificate.label is not None and certificate.count_a >= SURE_SHARE * SURE_DRAWS:
                    pictures.append(SurePicture(encoded(task.test[index]), certificate.label))
        if len(pictures) == count:
            return pictures
    raise SystemExit(
        f"the classifier is confident on only {len(pictures)} of {count} images; the load test needs a better network"
    )


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: its share of the load, its body for a picture, and the check of its answer.

    `complaint` returns what is wrong with an answer, or None.
    """

    name: str
    share: int
    request: Callable[[SurePicture, int], dict[str, Any]]
    complaint: Callable[[httpx.Response, SurePicture], str | None]


def predict_request(picture: SurePicture, number: int) -> dict[str, Any]:
    return {"files": {"data": picture.data}, "data": {"mode": "predict", "n": str(PREDICTION_DRAWS)}}


def fixed_request(picture: SurePicture, number: int) -> dict[str, Any]:
    return {"files": {"data": picture.data}, "data": {"n": str(CERTIFICATION_DRAWS)}}


def at_radius_request(picture: SurePicture, number: int) -> dict[str, Any]:
    return {"files": {"data": picture.data}, "data": {"stopping": "at-radius", "radius": str(RADIUS_ASKED)}}


def broken_request(picture: SurePicture, number: int) -> dict[str, Any]:
    return {"content": (b"", b"nothing", picture.data[: len(picture.data) // 2], bomb(), b"GIF89a")[number % 5]}


@cache
def bomb() -> bytes:
    """A small image file that decodes to 144 million pixels."""
    return encoded(Image.new("1", (12_000, 12_000)))


def complaint_of_prediction(response: httpx.Response, picture: SurePicture) -> str | None:
    answer = response.json()
    if response.status_code != 200 or "votes" not in answer:
        return f"status {response.status_code}: {str(answer)[:200]}"
    if answer["label"] != picture.label:
        return f"label {answer['label']}, offline {picture.label}"
    votes = answer["votes"]
    if votes["n"] != PREDICTION_DRAWS or sum(count for _, count in votes["top"]) > votes["n"]:
        return f"votes {votes}"
    return None


def complaint_of_certificate(response: httpx.Response, picture: SurePicture, *, stopping: str) -> str | None:
    """The complaint about a certificate, or None; bound and radius are computed again from its own counts."""
    answer = response.json()
    if response.status_code != 200 or not answer.get("certificate"):
        return f"status {response.status_code}: {str(answer)[:200]}"
    certificate = answer["certificate"]
    if answer["label"] != picture.label:
        return f"label {answer['label']}, offline {picture.label}"
    if certificate["stopping"] != stopping or not certificate["count_a"] <= certificate["n"]:
        return f"certificate {certificate}"
    radius = certificate["radius"]
    if stopping == "at-radius":
        return None if radius == RADIUS_ASKED == certificate["radius_asked"] else f"radius {radius}"
    bound = clopper_pearson_lower(certificate["count_a"], certificate["n"], certificate["alpha"])
    received = (certificate["n"], certificate["p_a_lower"], radius)
    expected = (CERTIFICATION_DRAWS, bound, certified_radius(bound, certificate["sigma"]))
    return None if received == expected else f"n, bound and radius are {received}, its counts give {expected}"


def complaint_of_refusal(response: httpx.Response, picture: SurePicture) -> str | None:
    body = response.json()
    if not 400 <= response.status_code < 500 or body.get("code") != response.status_code:
        return f"a broken image got {response.status_code}: {str(body)[:200]}"
    return None


KINDS = (
    Kind("predict, 100 draws", 12, predict_request, complaint_of_prediction),
    Kind(
        "certify, 1,000 draws",
        3,
        fixed_request,
        lambda r, picture: complaint_of_certificate(r, picture, stopping="fixed"),
    ),
    Kind(
        f"certify at radius {RADIUS_ASKED}",
        3,
        at_radius_request,
        lambda r, picture: complaint_of_certificate(r, picture, stopping="at-radius"),
    ),
    Kind("broken", 2, broken_request, complaint_of_refusal),
)


@dataclass(slots=True)
class Seen:
    """The clients' observations: seconds by kind, complaints, and the draws of successful answers."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind.name: [] for kind in KINDS})
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    told_to_wait: int = 0
    draws: int = 0

    @property
    def answered(self) -> int:
        return sum(len(times) for times in self.seconds.values())

    def summary(self) -> dict[str, Any]:
        return {
            "answers": self.answered,
            "wrong": len(self.wrong),
            "lost": len(self.lost),
            "first_complaints": [text for text, _ in Counter(self.wrong + self.lost).most_common(5)],
            "told_to_wait": self.told_to_wait,
            "kinds": {
                name: {"answers": len(times), "p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99)}
                for name, times in self.seconds.items()
                if times
            },
        }


def percentile(seconds: Sequence[float], q: float) -> float:
    """The q-th percentile of times in seconds, in milliseconds."""
    return round(1000 * float(np.percentile(seconds, q)), 1)


def draws_of(answer: dict[str, Any]) -> int:
    """The number of draws that an answer reports."""
    certificate = answer.get("certificate")
    return int(certificate["n0"] + certificate["n"] if certificate else answer.get("votes", {}).get("n", 0))


def schedule(kinds: Sequence[Kind]) -> Iterator[Kind]:
    """An endless cycle of the kinds, interleaved by their shares."""
    places = [((place + 0.5) / kind.share, number) for number, kind in enumerate(kinds) for place in range(kind.share)]
    return itertools.cycle([kinds[number] for _, number in sorted(places)])


def load(
    url: str,
    pictures: Sequence[SurePicture],
    *,
    clients: int,
    seconds: float = math.inf,
    requests: float = math.inf,
    kinds: Sequence[Kind] = KINDS,
) -> Seen:
    """The observations of clients that send requests until the time or the number of requests is reached.

    Requests in flight at the end are waited for.

    Args:
        url: The prediction URL.
        pictures: The images, sent in turn.
        clients: The number of concurrent clients.
        seconds: Seconds after which no client sends another request.
        requests: The total number of requests.
        kinds: The kinds of requests, mixed by their shares.
    """
    return asyncio.run(_load(url, pictures, clients=clients, seconds=seconds, requests=requests, kinds=schedule(kinds)))


async def _load(
    url: str, pictures: Sequence[SurePicture], *, clients: int, seconds: float, requests: float, kinds: Iterator[Kind]
) -> Seen:
    seen, numbers = Seen(), itertools.count()
    end = time.monotonic() + seconds

    async def client(http: httpx.AsyncClient) -> None:
        while time.monotonic() < end and (number := next(numbers)) < requests:
            await _ask(http, url, next(kinds), pictures[number % len(pictures)], number, seen)

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return seen


async def _ask(http: httpx.AsyncClient, url: str, kind: Kind, picture: SurePicture, number: int, seen: Seen) -> None:
    started = time.monotonic()
    request = kind.request(picture, number)
    try:
        response = await http.post(url, **request)
        while response.status_code == 429:
            seen.told_to_wait += 1
            await asyncio.sleep(min(LONGEST_PAUSE, float(response.headers["retry-after"])))
            response = await http.post(url, **request)
    except httpx.HTTPError as error:
        seen.lost.append(f"{kind.name}: {type(error).__name__} {error}")
        return
    seen.seconds[kind.name].append(time.monotonic() - started)
    try:
        complaint = kind.complaint(response, picture)
    except (ValueError, KeyError, TypeError) as error:
        complaint = f"{type(error).__name__} {error} in {response.status_code} {response.text[:200]}"
    if complaint:
        seen.wrong.append(f"{kind.name}: {complaint}")
    elif response.status_code == 200:
        seen.draws += draws_of(response.json())
