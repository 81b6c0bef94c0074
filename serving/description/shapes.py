"""Pydantic models of the JSON objects in requests and responses, from which the schemas are generated.

`serving.protocol` validates requests. The models here only describe them, and tests check that both agree.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.protocol import Parameters
from serving.protocol.inference_v2 import LONGEST_ID
from zoo.smoothing import Noise

Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Instance(Shape):
    """One encoded image: JPEG, PNG, WEBP, BMP, GIF or TIFF."""

    b64: Base64


class InstancesRequest(Shape):
    """Several images (KServe v1)."""

    instances: list[Instance] = Field(min_length=1)
    parameters: Parameters = Parameters()


class InputParameters(Shape):
    content_type: Literal["base64"] = "base64"


class InputTensor(Shape):
    """A tensor of encoded images; `shape` is [number of images]."""

    name: str = "image"
    shape: list[int] = Field(min_length=1, max_length=2)
    datatype: Literal["BYTES"]
    data: list[Base64] = Field(min_length=1)
    parameters: InputParameters = InputParameters()


class OutputParameters(Shape):
    binary_data: bool = False


class WantedOutput(Shape):
    name: Literal["label", "radius", "labels", "json"]
    parameters: OutputParameters = OutputParameters()


class InferenceParameters(Parameters):
    """The parameters, and three of the open inference protocol; `priority` and `timeout` have no effect."""

    binary_data_output: bool = False
    priority: int = 0
    timeout: int = 0


class InferenceRequest(Shape):
    """Several images (open inference protocol, v2).

    Binary tensors may follow the JSON, whose length the header `Inference-Header-Content-Length` then states.
    """

    id: str | None = Field(default=None, max_length=LONGEST_ID)
    model_name: str | None = None
    model_version: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[WantedOutput] | None = None
    parameters: InferenceParameters = InferenceParameters()


class FamilyObject(Shape):
    """The place of a question among the questions about its image, from 1 on. `alpha` is the request's. All answers
    about the image that were requested with at most this alpha are right at once, with probability at least 1 - alpha.
    `size` is null, because the number of questions is not known beforehand."""

    alpha: float = Field(gt=0, lt=1)
    index: int = Field(ge=1)
    size: int | None = Field(ge=1)


class CertificateObject(Shape):
    """With probability at least `1 - alpha` over the server's noise, the smoothed classifier returns the label
    everywhere within `radius`, in `norm` and on the [0, 1] pixel scale, of the tensor that `input` describes.

    Of the `n` draws, `count_a` voted for the selected class and `count_b` for the most frequent other class. `bound`
    names what the radius rests on; `p_a_lower` and `p_b_upper` are null if it bounds no such probability.
    """

    norm: Literal["l2"]
    radius: float = Field(ge=0)
    sigma: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=1)
    p_a_lower: Share | None
    p_b_upper: Share | None
    count_a: Count
    count_b: Count
    n0: Count
    n: Count
    stopping: Literal["fixed", "anytime", "at-radius"]
    radius_asked: float | None = Field(ge=0)
    bound: str
    noise: Noise
    input: str
    backend: str
    family: FamilyObject | None


class VotesObject(Shape):
    """Class counts of the noisy copies; `top` has pairs [label, count], the most frequent class first."""

    n: Count
    top: list[tuple[Count, Count]]
    alpha: float = Field(gt=0, lt=1)
    family: FamilyObject | None


class LabelSetGuarantee(Shape):
    """With probability at least `1 - alpha` over the choice of the image, the calibration and the noise together, the
    set contains the true class, although someone who did not see the noise changed the image by up to `radius`, in
    `norm`.

    This is no statement about a single image. `n` is the number of draws; `num_calibration_images` images of `task`
    gave the threshold.
    """

    coverage: Literal["marginal"]
    norm: Literal["l2"]
    radius: float = Field(ge=0)
    alpha: float = Field(gt=0, lt=1)
    sigma: float = Field(gt=0)
    noise: Noise
    n: Literal[1]
    task: str
    num_calibration_images: Count
    input: str
    backend: str


class ServedModelObject(Shape):
    """The name of the checkpoint that answered, and the SHA-256 of its weights."""

    name: str
    sha256: str


class Answer(Shape):
    """The answer for one image. If `label` is null, the classifier abstained and the radius is 0.

    A certification has a `certificate`, a prediction has `votes`. `repeatable` says whether the same request gets the
    same noise again. `copies` are noisy copies that the network
    classified, and `input_image` is the image before noise, as PNG.
    """

    label: int | None = Field(ge=0)
    class_name: str | None
    abstained: bool
    certificate: CertificateObject | None
    votes: VotesObject | None = None
    repeatable: bool
    model: ServedModelObject
    deadline_reached: bool | None = None
    copies: list[Base64] | None = None
    input_image: Base64 | None = None


class LabelSetAnswer(Shape):
    """The label set of one image (`mode=set`): the classes that fit one noisy copy, the most probable one first.

    The set may be empty. Its noise is always fresh.
    """

    labels: list[Count]
    class_names: list[str]
    set: LabelSetGuarantee
    repeatable: Literal[False]
    model: ServedModelObject
    copies: list[Base64] | None = None


class StreamLine(Answer):
    """One line of a stream: the certificate so far. With probability at least `1 - alpha`, all lines are correct."""

    final: bool


class Answers(Shape):
    """The answers for several images, in the order of the request."""

    predictions: list[Answer | LabelSetAnswer]


class OutputTensor(Shape):
    """One output: `label` is INT64 with -1 for an abstention, `radius` is FP64, `json` is BYTES, the whole answer.

    With `mode=set`, `labels` is INT64 with one row per image, filled up with -1.
    """

    name: Literal["label", "radius", "labels", "json"]
    shape: list[Count]
    datatype: Literal["INT64", "FP64", "BYTES"]
    data: list[Any]


class InferenceResponse(Shape):
    """The answers as tensors with one element per image (open inference protocol, v2)."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class Error(BaseModel):
    """An error. `code` is the HTTP status, also if the response had already begun with status 200."""

    code: int = Field(ge=400, le=599)
    type: str
    message: str


REQUESTS = (InstancesRequest, InferenceRequest)
ANSWERS = (Answer, LabelSetAnswer, StreamLine, Answers, InferenceResponse, Error)
