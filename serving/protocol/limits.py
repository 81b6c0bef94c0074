"""The operator's settings: the defaults of a certification, the caps of a request, and the permitted parameters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zoo.smoothing.stopping import CLOPPER_PEARSON, DEFAULT_N0, Bound

MOST_OPEN_REQUESTS = 1024
MOST_CACHED_ANSWERS = 1_000_000


class Limits(BaseModel):
    """The operator's settings of one model.

    `n0`, `n`, `alpha`: the defaults of a certification. `n0` None: the default of the stopping rule.
    `bound`: the default bound of the rule "fixed".
    `max_n`: the maximum number of draws per image in either phase. An at-radius rule stops undecided at `max_n` draws.
    `max_pixels`: the maximum total of pixels in the images of a request, read from the headers before decoding.
    `max_bytes`: the maximum total size of the encoded images of a request.
    `max_images`: the maximum number of images per request.
    `max_draws_per_request`: the maximum number of draws over all images and phases of a request.
    `max_open_requests`: the maximum number of open requests of a worker, which refuses further ones with 429.
    `longest_deadline_ms`: the largest `deadline_ms` that a client may request.
    `allows_seed`: whether a client may choose the noise with a `seed`. The guarantee holds for noise that is drawn
    after the image was chosen. With seeds a client can search for noise that produces a wrong certificate.
    `families`: whether the questions about an image share one alpha. Question i then gets 6 alpha / (pi^2 i^2), so that
    all answers about the image hold at once; answers are repeatable, and a repeated question costs nothing.
    `cached_answers`: above 0, answers are repeatable: the noise is a keyed hash of the image, the weights and the
    parameters, so that every worker and every server with the same noise secret draws the same noise. Each worker
    keeps this many answers and returns them again without draws. 0 without `families` draws fresh noise for every
    answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n0: int | None = Field(default=None, ge=1)
    n: int = Field(default=1_000, ge=1)
    alpha: float = Field(default=0.001, gt=0, lt=1)
    bound: Bound = CLOPPER_PEARSON
    max_n: int = Field(default=100_000, ge=1)
    max_pixels: int = Field(default=25_000_000, ge=1)
    max_bytes: int = Field(default=16_777_216, ge=1)
    max_images: int = Field(default=16, ge=1)
    max_draws_per_request: int = Field(default=1_000_000, ge=1)
    max_open_requests: int = Field(default=64, ge=1, le=MOST_OPEN_REQUESTS)
    longest_deadline_ms: int = Field(default=600_000, ge=1)
    allows_seed: bool = False
    families: bool = True
    cached_answers: int = Field(default=0, ge=0, le=MOST_CACHED_ANSWERS)

    @model_validator(mode="after")
    def _default_is_below_the_cap(self) -> Limits:
        n0 = DEFAULT_N0 if self.n0 is None else self.n0
        if max(self.n, n0) > self.max_n:
            raise ValueError(f"the defaults n={self.n} and n0={n0} must not exceed max_n={self.max_n}")
        if n0 + self.n > self.max_draws_per_request:
            raise ValueError(
                f"the defaults n0={n0} and n={self.n} together must not exceed "
                f"max_draws_per_request={self.max_draws_per_request}"
            )
        return self
