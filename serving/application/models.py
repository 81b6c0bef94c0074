"""What the application needs of a model. The model may be in this process, in another one or on another machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

JSON_LINES = "application/x-ndjson"
MAX_BODY_BYTES = 33_554_432


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request as it arrived; nothing in it has been checked.

    `kind` says what the content is: `form`, the fields of a multipart form; `json`, a body of this content type;
    `bytes`, any other body; `binary`, a body whose header states the length of its JSON part, `header_length`.
    `fields` has a form's fields, or the body under `body`. `query` has the parameters of the address.
    """

    kind: Literal["form", "json", "bytes", "binary"]
    fields: Mapping[str, bytes]
    query: Mapping[str, str] = field(default_factory=dict)
    header_length: str | None = None


class ReplyPart(Protocol):
    """A part of a response. The first part is the whole response if `is_last`; an empty `text` means no news yet.

    `status` and `headers` are those of the part that begins the response.
    """

    @property
    def text(self) -> str | bytes: ...

    @property
    def is_last(self) -> bool: ...

    @property
    def content_type(self) -> str: ...

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a response, as it crosses from a worker to the front process: a `ReplyPart`."""

    text: bytes
    is_last: bool
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class AnsweringModel(Protocol):
    """One version of a model that answers requests."""

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request that the model is given."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether the model accepts new requests now."""
        ...

    def metadata(self) -> Mapping[str, Any]:
        """The model's metadata, as the open inference protocol defines them."""
        ...

    def replies(self, request: ReceivedRequest) -> AsyncGenerator[ReplyPart]:
        """The parts of the response up to the last. Closing the generator earlier ends the request.

        Raises: OverloadError if the request is not answered and a retry may succeed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of a model. Requests that name no version get the default."""

    default: str
    by_version: Mapping[str, AnsweringModel]

    @classmethod
    def only(cls, model: AnsweringModel, *, version: str = "1.0") -> Versions:
        """The versions of a model with a single one."""
        return cls(version, {version: model})
