"""The parameters of a request, and the certification or prediction that they specify."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.protocol.limits import Limits
from zoo.errors import CertificationError, RequestError
from zoo.errors.suggestions import did_you_mean
from zoo.smoothing import Noise, SmoothingSpec
from zoo.smoothing.named_rules import AT_RADIUS, FIXED, rule_from
from zoo.smoothing.stopping import Bound

DRAWS_PER_PREDICTION = 100
MOST_COPIES = 8
LARGEST_SEED = 2**32 - 1  # torch's CPU generator uses only 32 bits of a seed
INTEGERS = ("n", "n0", "deadline_ms", "copies", "seed")
BOOLEANS = ("stream", "input_image")
# The parameters that an answer depends on; the others change when and how it is sent.
DECIDING = ("mode", "stopping", "noise", "n", "n0", "alpha", "radius", "tolerance", "bound")
# All that a label set accepts: one draw, whose noise is always fresh.
OF_LABEL_SETS = {"mode", "radius", "alpha", "noise", "copies", "input_image"}
CERTIFICATION_ONLY = {"n0", "stopping", "radius", "tolerance", "bound", "stream", "deadline_ms"}
LONGEST_ECHO = 80
_SHORT = reprlib.Repr()  # of a deeply nested or large value it visits the beginning only
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 2 * LONGEST_ECHO


class Parameters(BaseModel):
    """The parameters of a request. The operator's defaults replace omitted ones; sigma is fixed by the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["certify", "predict", "set"] = "certify"
    stopping: Literal["fixed", "anytime", "at-radius"] = "fixed"
    noise: Noise = "gaussian"
    n: int | None = Field(default=None, ge=1)
    n0: int | None = Field(default=None, ge=1)
    alpha: float | None = Field(default=None, gt=0, lt=1)
    radius: float | None = Field(default=None, ge=0)
    tolerance: float | None = Field(default=None, ge=0)
    bound: Bound | None = None
    deadline_ms: int | None = Field(default=None, ge=1)
    stream: bool = False
    copies: int = Field(default=0, ge=0, le=MOST_COPIES)
    input_image: bool = False
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)


def parse_parameters(given: Mapping[str, object], limits: Limits) -> Parameters:
    """The parameters of a request, from text (a form) or JSON values.

    Raises: RequestError that names the invalid parameter.
    """
    readable = {name: _text(value) for name, value in given.items()}
    for name, value in readable.items():
        if name not in Parameters.model_fields:
            offered = _offered(limits)
            raise RequestError(
                f"unknown parameter {shown(name)}; known: {', '.join(offered)}.{did_you_mean(name, offered)}"
            )
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
    """The certification that a request specifies. An at-radius rule without `n` may draw up to the operator's cap.

    Raises: CertificationError if the certification could never certify; RequestError if the parameters do not match
    the stopping rule.
    """
    stopping = parameters.stopping
    n = parameters.n or (limits.max_n if stopping == AT_RADIUS else limits.n)
    bound = parameters.bound or (limits.bound if stopping == FIXED else None)
    return SmoothingSpec(
        sigma=sigma,
        n0=parameters.n0 or limits.n0,  # type: ignore[arg-type] # None: by default the rule's
        alpha=parameters.alpha or limits.alpha,
        stopping=rule_from(stopping, n=n, radius=parameters.radius, tolerance=parameters.tolerance, bound=bound),
        noise=parameters.noise,
    )


@dataclass(frozen=True, slots=True)
class PredictionSpec:
    """The specification of a prediction: `n` draws, and a wrong label with probability at most `alpha`."""

    n: int
    alpha: float
    noise: Noise


def prediction_of(parameters: Parameters, limits: Limits) -> PredictionSpec:
    """The prediction that a request specifies. The operator's `alpha` is the default."""
    n = parameters.n or min(DRAWS_PER_PREDICTION, limits.max_n)
    return PredictionSpec(n, parameters.alpha or limits.alpha, parameters.noise)


@dataclass(frozen=True, slots=True)
class LabelSetRequest:
    """What a request says about the label sets that it expects; None for what it leaves to the calibration."""

    radius: float | None
    alpha: float | None
    noise: Noise | None
    n: int = 1


def label_set_of(parameters: Parameters) -> LabelSetRequest:
    """What a request says about its label sets. The operator's `alpha` does not apply to them."""
    noise = parameters.noise if "noise" in parameters.model_fields_set else None
    return LabelSetRequest(radius=parameters.radius, alpha=parameters.alpha, noise=noise)


Target = SmoothingSpec | PredictionSpec | LabelSetRequest


def target_of(parameters: Parameters, limits: Limits, *, sigma: float) -> Target:
    """The certification, prediction or label set that a request specifies. Raises: the errors of `smoothing_of`."""
    if parameters.mode == "certify":
        return smoothing_of(parameters, limits, sigma=sigma)
    if parameters.mode == "set":
        return label_set_of(parameters)
    return prediction_of(parameters, limits)


def deciding(parameters: Parameters, limits: Limits) -> dict[str, object]:
    """The given parameters that an answer depends on, as JSON values.

    A parameter that repeats the operator's default is left out. A client therefore asks the same question whether it
    writes a default or not, and so do two servers with different defaults if the client omits the parameter.
    """
    given = parameters.model_dump(include=set(DECIDING), exclude_unset=True)
    target = target_of(parameters, limits, sigma=1.0)  # any sigma: it only has to be equal on both sides
    return {name: value for name, value in given.items() if _without(name, given, limits) != target}


def shown(value: object) -> str:
    """A client's value for an error message, truncated: TorchServe kills a worker whose response is too large."""
    text = _SHORT.repr(value)
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "..."


def _without(name: str, given: Mapping[str, object], limits: Limits) -> Target | None:
    """The target of the other parameters; None if they specify none."""
    others = {other: value for other, value in given.items() if other != name}
    try:
        return target_of(Parameters.model_validate(others), limits, sigma=1.0)
    except (RequestError, CertificationError):
        return None


def _require_within_caps(parameters: Parameters, limits: Limits) -> None:
    caps = {"n": limits.max_n, "n0": limits.max_n, "deadline_ms": limits.longest_deadline_ms}
    for name, cap in caps.items():
        value = getattr(parameters, name)
        if value is not None and value > cap:
            raise RequestError(f"{name}={shown(value)} is above this server's cap of {cap}")
    if parameters.seed is not None and not limits.allows_seed:
        raise RequestError(
            "parameter seed is refused: the guarantee holds only for noise that the server chooses; leave seed out"
        )


def _require_together_possible(parameters: Parameters) -> None:
    if parameters.mode == "set":
        for name in sorted(parameters.model_fields_set - OF_LABEL_SETS):
            raise RequestError(f"parameter {name} does not apply to mode=set: {_why_not_of_label_sets(name)}")
        return
    if parameters.mode == "predict":
        for name in sorted(parameters.model_fields_set & CERTIFICATION_ONLY):
            raise RequestError(
                f"parameter {name} requires mode=certify: a prediction has neither a radius nor a confidence bound"
            )
    if parameters.bound is not None and parameters.stopping != FIXED:
        raise RequestError(
            f"parameter bound requires stopping=fixed: stopping={parameters.stopping} has a single bound of its own"
        )
    for name in ("stream", "deadline_ms"):
        if getattr(parameters, name) and parameters.stopping == FIXED:
            raise RequestError(
                f"parameter {name} requires stopping=anytime or stopping=at-radius: a fixed-sample bound is not valid "
                "before its last draw"
            )


def _why_not_of_label_sets(name: str) -> str:
    if name == "seed":
        return "every label set needs noise that nobody could foresee"
    return f"a label set comes from one draw and a calibration, and accepts {', '.join(sorted(OF_LABEL_SETS))}"


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
