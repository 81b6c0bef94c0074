"""The shape and the origin of a checkpoint's denoiser, as `config.json` states them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from zoo.models.measurements import Strict

JsonScalar = bool | int | float | str | None

MAX_DEPTH, MAX_WIDTH, MAX_DOWNSAMPLING = 100, 1024, 8
"""The largest shape: a config is not trusted, and a denoiser of any size would be built from it."""


class DenoiserShape(Strict):
    """The shape of a DnCNN: `depth` convolutions of 3x3, with `width` channels between them.

    With `downsampling` k the convolutions see every k x k block of pixels as one position with 3 k^2 channels (FFDNet).
    This divides their cost by k^2 and multiplies the area that an output pixel depends on by k^2. The convolutions
    estimate the clean image, or the noise, which is then subtracted.

    DnCNN-17 of Zhang et al. 2017 and Salman et al. 2020 has depth 17, width 64 and downsampling 1, and estimates the
    noise. The defaults are for small pictures and strong noise on a CPU.
    """

    architecture: Literal["dncnn"] = "dncnn"
    depth: int = Field(default=6, ge=3, le=MAX_DEPTH)
    width: int = Field(default=32, ge=1, le=MAX_WIDTH)
    downsampling: int = Field(default=2, ge=1, le=MAX_DOWNSAMPLING)
    estimates: Literal["image", "noise"] = "image"

    def describe(self) -> str:
        """The shape in words."""
        blocks = f", on blocks of {self.downsampling}x{self.downsampling} pixels" if self.downsampling > 1 else ""
        layers = f"{self.depth} convolutions with {self.width} channels{blocks}"
        return f"DnCNN of {layers}, that estimates the {self.estimates}"


class DenoiserConfig(Strict):
    """The denoiser before a classifier, and how it was trained. The fields are named as those of `CertifiedConfig`.

    `sigma` is the noise level that the denoiser was trained for. `task` names its training images, whose labels were
    not used; `input` is the tensor that they were converted to. `parent` is the identity of the weights that `--init`
    named: a classifier, or a classifier behind an earlier denoiser.
    """

    shape: DenoiserShape
    sigma: float = Field(gt=0)
    objective: str
    hyper_parameters: dict[str, JsonScalar] = Field(default_factory=dict)
    task: str
    input: str
    parent: str | None = None
    parent_id: str | None = None
    seed: int | None = None
    epochs: int | None = Field(default=None, ge=0)
    recipe_digest: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    num_ranks: int | None = Field(default=None, ge=1)
    device: str | None = None
    limit_per_class: int | None = Field(default=None, ge=1)
    num_train_images: int | None = Field(default=None, ge=1)
