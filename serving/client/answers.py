"""Typed answers of a server. They keep unknown keys, which a newer server may add."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class FamilyMember(_Message):
    """The place of a question among the questions about its image; the fields are those of `zoo.smoothing`'s."""

    alpha: float
    index: int
    size: int | None = None


class Certificate(_Message):
    """The certificate of an answer; its fields are those of `zoo.smoothing.Certificate`.

    `p_a_lower` and `p_b_upper` are None if the bound that `bound` names gives no such number.
    """

    norm: str
    radius: float
    sigma: float
    alpha: float
    p_a_lower: float | None
    p_b_upper: float | None
    count_a: int
    count_b: int
    n0: int
    n: int
    stopping: str
    bound: str
    input: str
    radius_asked: float | None = None
    noise: str = "gaussian"
    backend: str = ""
    family: FamilyMember | None = None


class Votes(_Message):
    """Class counts of the noisy copies; `top` has pairs [label, count], the most frequent class first."""

    n: int
    top: list[list[int]]
    alpha: float | None = None
    family: FamilyMember | None = None


class SetGuarantee(_Message):
    """The guarantee of a label set; its fields are those of `zoo.smoothing.LabelSetSpec`.

    `coverage` is "marginal": the probability of 1 - `alpha` is an average over images, calibrations and noise. It says
    nothing about a single image.
    """

    coverage: str
    norm: str
    radius: float
    alpha: float
    sigma: float
    noise: str
    n: int
    task: str
    num_calibration_images: int
    input: str
    backend: str


class ServedModel(_Message):
    """The name of the checkpoint that answered, and the SHA-256 of its weights."""

    name: str
    sha256: str


class Answer(_Message):
    """The answer for one image. If `label` is None, the classifier abstained.

    A certification has a `certificate`; a prediction has `votes` and no certificate. `repeatable` says whether the same
    request gets the same noise again. `deadline_reached` is None unless
    the request had a deadline. `copies` is None unless requested: noisy copies of the image as the network classified
    them, as PNG in base64. `input_image` is None unless requested: the image before noise, as PNG in base64.
    """

    label: int | None
    class_name: str | None
    abstained: bool
    certificate: Certificate | None
    votes: Votes | None = None
    repeatable: bool
    model: ServedModel
    deadline_reached: bool | None = None
    copies: list[str] | None = None
    input_image: str | None = None

    @property
    def radius(self) -> float:
        """The certified l2 radius on the [0, 1] pixel scale; 0 if nothing is certified."""
        return 0.0 if self.certificate is None else self.certificate.radius

    def to_json(self) -> dict[str, Any]:
        """The JSON object as the server sent it."""
        return self.model_dump(mode="json", exclude_unset=True)


class LabelSetAnswer(_Message):
    """The label set of one image, from one draw: `labels`, the most probable class first, and their names.

    The set may be empty. It is no certificate, so the answer has no `label` and no `certificate`. `set` states the
    guarantee. `repeatable` is always False.
    """

    labels: list[int]
    class_names: list[str]
    set: SetGuarantee
    repeatable: bool
    model: ServedModel
    copies: list[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object as the server sent it."""
        return self.model_dump(mode="json", exclude_unset=True)
