"""What the operator sets: the defaults of a certification, the caps of a request, and what a client may ask at all."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_OPEN_REQUESTS = 1024
MOST_CACHED_ANSWERS = 1_000_000


class Limits(BaseModel):
    """The operator's settings of one model.

    `n0`, `n`, `alpha`: what a certification gets that asks for no other.
    `max_n`: the most draws of either phase that a client may ask for an image, and where at-radius gives up.
    `max_pixels`: of all images of a request, told by their headers before they are decoded.
    `max_bytes`: of all encoded images of a request.
    `max_images`: of a request. `max_draws_per_request`: over all its images and phases.
    `max_open_requests`: of the server; a further one is refused with 429.
    `longest_deadline_ms`: the largest `deadline_ms` that a client may give.
    `allows_seed`: whether a client may choose the noise by a `seed`. The guarantee speaks of noise that is drawn after
    the image was chosen: with seeds a client can search for noise under which a wrong certificate comes out.
    `cached_answers`: of how many images with their parameters the answer is kept and given again, 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n0: int = Field(default=100, ge=1)
    n: int = Field(default=1_000, ge=1)
    alpha: float = Field(default=0.001, gt=0, lt=1)
    max_n: int = Field(default=100_000, ge=1)
    max_pixels: int = Field(default=33_554_432, ge=1)
    max_bytes: int = Field(default=16_777_216, ge=1)
    max_images: int = Field(default=16, ge=1)
    max_draws_per_request: int = Field(default=1_000_000, ge=1)
    max_open_requests: int = Field(default=64, ge=1, le=MOST_OPEN_REQUESTS)
    longest_deadline_ms: int = Field(default=600_000, ge=1)
    allows_seed: bool = False
    cached_answers: int = Field(default=0, ge=0, le=MOST_CACHED_ANSWERS)

    @model_validator(mode="after")
    def _default_is_below_the_cap(self) -> Limits:
        if max(self.n, self.n0) > self.max_n:
            raise ValueError(f"the defaults n={self.n} and n0={self.n0} must not exceed max_n={self.max_n}")
        if self.n0 + self.n > self.max_draws_per_request:
            raise ValueError(
                f"the defaults n0={self.n0} and n={self.n} make more draws than "
                f"max_draws_per_request={self.max_draws_per_request}"
            )
        return self
