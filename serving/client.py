"""Asking a served model over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from zoo.errors import RequestError, ServerError

TIMEOUT = httpx.Timeout(10.0, read=600.0)


def ask(url: str, image: bytes, parameters: Mapping[str, object]) -> dict[str, Any]:
    """The answer to one encoded image from `http://HOST:PORT/predictions/MODEL`.

    Raises: RequestError if the server refuses the request; ServerError if it fails or cannot be reached.
    """
    fields = {name: str(value) for name, value in parameters.items()}
    try:
        response = httpx.post(url, files={"data": ("image", image)}, data=fields, timeout=TIMEOUT, trust_env=False)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise RequestError(f"{url!r} is no URL of the form http://HOST:PORT/predictions/MODEL: {error}") from error
    except httpx.HTTPError as error:
        raise ServerError(f"no answer from {url}: {error or type(error).__name__}") from error
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not (isinstance(body.get("code"), int) or "label" in body):
        raise ServerError(f"{url} answered {response.status_code} with something else: is it the address of a model?")
    # A failure after the answer has begun stands in a body whose status was sent as 200.
    status = body.get("code", response.status_code)
    if status >= 500:
        raise ServerError(f"the server answered {status}: {body.get('message')}")
    if status >= 400:
        raise RequestError(f"the server refused the request ({status}): {body.get('message')}")
    return body
