"""What a client may ask of the images that it sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.protocol.limits import Limits
from zoo.errors import RequestError
from zoo.smoothing import Noise, SmoothingSpec
from zoo.smoothing.named_rules import AT_RADIUS, FIXED, rule_from

DRAWS_PER_PREDICTION = 100
MOST_COPIES = 8
LARGEST_SEED = 2**32 - 1  # torch's CPU generator looks at 32 bits of a seed
INTEGERS = ("n", "n0", "deadline_ms", "copies", "seed")
BOOLEANS = ("stream",)
CERTIFICATION_ONLY = {"n0", "stopping", "radius", "tolerance", "stream", "deadline_ms"}
LONGEST_ECHO = 80


class Parameters(BaseModel):
    """What a client may ask; what it leaves out the operator's defaults fill in. sigma is the model's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["certify", "predict"] = "certify"
    stopping: Literal["fixed", "anytime", "at-radius"] = "fixed"
    noise: Noise = "gaussian"
    n: int | None = Field(default=None, ge=1)
    n0: int | None = Field(default=None, ge=1)
    alpha: float | None = Field(default=None, gt=0, lt=1)
    radius: float | None = Field(default=None, ge=0)
    tolerance: float | None = Field(default=None, ge=0)
    deadline_ms: int | None = Field(default=None, ge=1)
    stream: bool = False
    copies: int = Field(default=0, ge=0, le=MOST_COPIES)
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)


def parse_parameters(given: Mapping[str, object], limits: Limits) -> Parameters:
    """The parameters of a request, from text (a form) or JSON values. Raises: RequestError that names the wrong one."""
    readable = {name: _text(value) for name, value in given.items()}
    for name, value in readable.items():
        if name not in Parameters.model_fields:
            raise RequestError(f"unknown parameter {shown(name)}; known: {', '.join(_offered(limits))}")
        if not _is_of_its_kind(name, value):
            raise RequestError(f"parameter {name}={shown(value)}: expected {_kind(name)}")
    try:
        parameters = Parameters.model_validate(readable)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise RequestError(f"parameter {name}={shown(readable.get(name))}: {first['msg']}") from error
    _require_within_caps(parameters, limits)
    _require_together_possible(parameters)
    return parameters


def smoothing_of(parameters: Parameters, limits: Limits, *, sigma: float) -> SmoothingSpec:
    """The certification that a request asks for; an at-radius rule may go up to the operator's cap.

    Raises: CertificationError if it could never certify; RequestError if the stopping rule and its values do not fit.
    """
    stopping = parameters.stopping
    n = parameters.n or (limits.max_n if stopping == AT_RADIUS else limits.n)
    return SmoothingSpec(
        sigma=sigma,
        n0=parameters.n0 or limits.n0,
        alpha=parameters.alpha or limits.alpha,
        stopping=rule_from(stopping, n=n, radius=parameters.radius, tolerance=parameters.tolerance),
        noise=parameters.noise,
    )


@dataclass(frozen=True, slots=True)
class PredictionSpec:
    """The prediction that a request asks for: `n` draws, wrong with probability at most `alpha`."""

    n: int
    alpha: float
    noise: Noise


def prediction_of(parameters: Parameters, limits: Limits) -> PredictionSpec:
    """The prediction that a request asks for, with the operator's alpha unless it names one."""
    n = parameters.n or min(DRAWS_PER_PREDICTION, limits.max_n)
    return PredictionSpec(n, parameters.alpha or limits.alpha, parameters.noise)


def shown(value: object) -> str:
    """A client's own text for a message: short, since TorchServe kills a worker whose response is too large."""
    text = repr(value)
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "..."


def _require_within_caps(parameters: Parameters, limits: Limits) -> None:
    caps = {"n": limits.max_n, "n0": limits.max_n, "deadline_ms": limits.longest_deadline_ms}
    for name, cap in caps.items():
        value = getattr(parameters, name)
        if value is not None and value > cap:
            raise RequestError(f"{name}={shown(value)} is above the cap of this server, {cap}")
    if parameters.seed is not None and not limits.allows_seed:
        raise RequestError("seed is refused: on this server nobody chooses the noise, which the guarantee rests on")


def _require_together_possible(parameters: Parameters) -> None:
    if parameters.mode == "predict":
        for name in sorted(parameters.model_fields_set & CERTIFICATION_ONLY):
            raise RequestError(f"{name} goes with mode certify only: a prediction has neither radius nor bound")
    for name in ("stream", "deadline_ms"):
        if getattr(parameters, name) and parameters.stopping == FIXED:
            raise RequestError(
                f"{name} goes with stopping anytime or at-radius only: a fixed-sample bound may not be looked at early"
            )


def _is_of_its_kind(name: str, value: object) -> bool:
    if isinstance(value, bool) or name in BOOLEANS:
        return name in BOOLEANS and isinstance(value, bool | str)
    return isinstance(value, str | int if name in INTEGERS else str | int | float)


def _kind(name: str) -> str:
    if name in BOOLEANS:
        return "true or false"
    return "an integer" if name in INTEGERS else "a value"


def _offered(limits: Limits) -> list[str]:
    return [name for name in Parameters.model_fields if name != "seed" or limits.allows_seed]


def _text(value: object) -> object:
    return bytes(value).decode("utf-8", errors="replace") if isinstance(value, bytes | bytearray) else value
