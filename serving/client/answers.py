"""What a server answers, typed. A key that a newer server adds is kept, not refused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class Certificate(_Message):
    """What is guaranteed; the fields mean what they mean in `zoo.smoothing.Certificate`."""

    norm: str
    radius: float
    sigma: float
    alpha: float
    p_a_lower: float
    count_a: int
    n0: int
    n: int
    stopping: str
    bound: str
    input: str
    radius_asked: float | None = None
    noise: str = "gaussian"
    backend: str = ""


class Votes(_Message):
    """How often the classes were named: `top` holds [label, count], the most frequent first."""

    n: int
    top: list[list[int]]
    alpha: float | None = None


class ServedModel(_Message):
    """The checkpoint that answered: its name, and the SHA-256 of its weights."""

    name: str
    sha256: str


class Answer(_Message):
    """The answer about one image. `label` None: the classifier abstained.

    A certification has a `certificate`, a prediction `votes` and no certificate. `deadline_reached` stands where a
    deadline was given, `copies`, noisy copies of the image as the network saw them (PNG in base64), where they were
    asked for.
    """

    label: int | None
    class_name: str | None
    abstained: bool
    certificate: Certificate | None
    votes: Votes | None = None
    model: ServedModel
    deadline_reached: bool | None = None
    copies: list[str] | None = None

    @property
    def radius(self) -> float:
        """The certified l2 radius, on the [0, 1] pixel scale; 0 where nothing is certified."""
        return 0.0 if self.certificate is None else self.certificate.radius

    def to_json(self) -> dict[str, Any]:
        """The object as the server sent it."""
        return self.model_dump(mode="json", exclude_unset=True)
