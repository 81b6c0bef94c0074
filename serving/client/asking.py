"""What is sent and how an answer is read, without a socket; both clients share it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import httpx
from pydantic import ValidationError

from serving.client.answers import Prediction
from serving.client.retrying import problem_in
from zoo.errors import RefusedError, RequestError, ServerError

if TYPE_CHECKING:
    from PIL.Image import Image

Picture: TypeAlias = "bytes | Path | Image"


class PredictParameters(TypedDict, total=False):
    """What `predict` may ask; what is left out the operator has set."""

    n: int
    alpha: float
    noise: Literal["gaussian", "discrete"]
    copies: int
    seed: int


class CertifyParameters(PredictParameters, total=False):
    """What `certify` may ask. `radius` goes with at-radius, `tolerance` with anytime, `deadline_ms` with both."""

    n0: int
    stopping: Literal["fixed", "anytime", "at-radius"]
    radius: float
    tolerance: float
    deadline_ms: int


def headers(token: str | None) -> dict[str, str]:
    """The headers of every request. Raises: RequestError if the token can be none; it is not repeated."""
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable() or not token.strip():
        raise RequestError("the token must be printable ASCII text")
    return {"Authorization": f"Bearer {token}"}


def body(pictures: Sequence[Picture], parameters: Mapping[str, object]) -> dict[str, Any]:
    """What httpx is given to build the request from: a form for one picture, JSON (KServe v1) for several."""
    encoded = [_encoded(picture) for picture in pictures]
    if len(encoded) == 1:
        fields = {name: _text(value) for name, value in parameters.items()}
        return {"files": {"data": ("image", encoded[0])}, "data": fields}
    instances = [{"b64": base64.b64encode(each).decode()} for each in encoded]
    return {"json": {"instances": instances, "parameters": dict(parameters)}}


def read_predictions(response: httpx.Response, *, num: int, url: str) -> list[Prediction]:
    """The answers to `num` pictures, in their order.

    Raises: RefusedError if the server refuses the request; ServerError if it failed, or is no server of a model.
    """
    raise_for_problem(response)
    try:
        told = json.loads(response.content)
        answers = [told] if num == 1 else told["predictions"]
        predictions = [Prediction.model_validate(each) for each in answers]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise something_else(url, response.status_code) from error
    if len(predictions) != num:
        raise ServerError(f"{url} was asked about {num} images and answered about {len(predictions)}")
    return predictions


def raise_for_problem(response: httpx.Response) -> None:
    """Raises: RefusedError or ServerError if the response is an error, whatever its status says."""
    problem = problem_in(response)
    if problem is not None:
        raise error_of(problem)


def something_else(url: str, status: int) -> ServerError:
    """The error of an answer that no model has written."""
    return ServerError(f"{url} answered {status} with something else: is it the address of a model?")


def error_of(problem: Mapping[str, Any]) -> RefusedError | ServerError:
    """The error that an error object of the server stands for."""
    code, message = problem["code"], problem.get("message")
    if code < 500:
        return RefusedError(f"the server refused the request ({code}): {message}", http_status=code)
    return ServerError(f"the server answered {code}: {message}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encoded(picture: Picture) -> bytes:
    """The bytes of an image file; a picture in memory becomes a PNG, which loses nothing."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Path):
        try:
            return picture.read_bytes()
        except OSError as error:
            raise RequestError(f"cannot read {picture}: {error.strerror or error}") from error
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
