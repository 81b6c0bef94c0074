"""Encoding of requests and decoding of responses, without a socket; both clients share it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

import httpx
from pydantic import ValidationError

from serving.client.answers import Answer, LabelSetAnswer
from serving.client.retrying import Exchange, exchange, problem_in
from zoo.download.retry import RetryPolicy
from zoo.errors import RefusedError, RequestError, ServerError
from zoo.host.untrusted_json import parse_json

if TYPE_CHECKING:
    from PIL.Image import Image

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0

Picture: TypeAlias = "bytes | Path | Image"
AnyAnswer = TypeVar("AnyAnswer", Answer, LabelSetAnswer)


class PredictParameters(TypedDict, total=False):
    """The parameters of `predict`. The operator's defaults replace omitted ones."""

    n: int
    alpha: float
    noise: Literal["gaussian", "discrete"]
    copies: int
    input_image: bool
    seed: int


class CertifyParameters(PredictParameters, total=False):
    """The parameters of `certify`.

    `radius` requires at-radius, `tolerance` anytime, `deadline_ms` one of the two, and `bound` fixed.
    """

    n0: int
    stopping: Literal["fixed", "anytime", "at-radius"]
    radius: float
    tolerance: float
    bound: Literal["clopper-pearson", "simultaneous"]
    deadline_ms: int


class LabelSetParameters(TypedDict, total=False):
    """The parameters of `label_set`. `radius`, `alpha` and `noise` must be those of the model's calibration."""

    radius: float
    alpha: float
    noise: Literal["gaussian", "discrete"]
    copies: int


class BaseClient:
    """The part that `Client` and `AsyncClient` share: everything except the connection."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        timeout: float,
        retry: RetryPolicy,
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.url = url
        self._retry, self._now, self._random = retry, now, random
        # trust_env=False: requests to a server on this machine must not go through the environment's proxies.
        self._connection: dict[str, Any] = {
            "headers": headers(token),
            "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            "trust_env": False,
            "verify": not url.startswith("http://"),  # skips loading CA certificates, which takes longer than a request
        }

    def _exchange(self) -> Exchange:
        return exchange(self.url, retry=self._retry, now=self._now, random=self._random)

    def _body(self, images: Sequence[Picture], mode: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        return body(images, {"mode": mode, **parameters})

    def _stream_body(self, image: Picture, parameters: Mapping[str, object]) -> dict[str, Any]:
        return self._body([image], "certify", {"stopping": "anytime", **parameters, "stream": True})

    def _read(self, response: httpx.Response, num: int) -> list[Answer]:
        return read_answers(response, num=num, url=self.url, kind=Answer)

    def _read_sets(self, response: httpx.Response, num: int) -> list[LabelSetAnswer]:
        return read_answers(response, num=num, url=self.url, kind=LabelSetAnswer)


def headers(token: str | None) -> dict[str, str]:
    """The headers of every request. Raises: RequestError, which does not repeat the token, if the token is invalid."""
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable() or not token.strip():
        raise RequestError("the token must be printable ASCII text")
    return {"Authorization": f"Bearer {token}"}


def body(pictures: Sequence[Picture], parameters: Mapping[str, object]) -> dict[str, Any]:
    """The keyword arguments for httpx's request: a form for one picture, JSON (KServe v1) for several."""
    encoded = [_encoded(picture) for picture in pictures]
    if len(encoded) == 1:
        fields = {name: _text(value) for name, value in parameters.items()}
        return {"files": {"data": ("image", encoded[0])}, "data": fields}
    instances = [{"b64": base64.b64encode(image).decode()} for image in encoded]
    return {"json": {"instances": instances, "parameters": dict(parameters)}}


def read_answers(response: httpx.Response, *, num: int, url: str, kind: type[AnyAnswer]) -> list[AnyAnswer]:
    """The answers of type `kind` to `num` pictures, in their order.

    Raises: RefusedError if the server refused the request; ServerError if the server failed or is not a model server.
    """
    raise_for_problem(response)
    try:
        content = parse_json(response.content)
        answers = [kind.model_validate(item) for item in ([content] if num == 1 else content["predictions"])]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise something_else(url, response.status_code) from error
    if len(answers) != num:
        raise ServerError(f"{url} returned {len(answers)} answers to a request with {num} images")
    return answers


def raise_for_problem(response: httpx.Response) -> None:
    """Raises RefusedError or ServerError if the response is an error, including errors sent with status 200."""
    problem = problem_in(response)
    if problem is not None:
        raise error_of(problem)


def something_else(url: str, status: int) -> ServerError:
    """Error for a response that did not come from a model server."""
    return ServerError(
        f"{url} answered {status} with a response that is not a model's: expected http://HOST:PORT/predictions/MODEL"
    )


def error_of(problem: Mapping[str, Any]) -> RefusedError | ServerError:
    """The exception for an error object of the server."""
    code, message = problem["code"], problem.get("message")
    if code < 500:
        return RefusedError(f"the server refused the request ({code}): {message}", http_status=code)
    return ServerError(f"the server answered {code}: {message}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encoded(picture: Picture) -> bytes:
    """The bytes of an image file. A Pillow picture is decoded as a file would be and encoded as PNG without loss."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Path):
        try:
            return picture.read_bytes()
        except OSError as error:
            raise RequestError(f"cannot read {picture}: {error.strerror or error}") from error
    from zoo.models.decoding import to_rgb  # needs Pillow, which the client otherwise does not

    buffer = io.BytesIO()
    to_rgb(picture).save(buffer, format="PNG")
    return buffer.getvalue()
