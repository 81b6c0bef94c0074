"""The measured results of a network for its card, each with everything that the numbers depend on.

Fractions are in [0, 1]; radii, sigma and epsilon are on the [0, 1] pixel scale.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Bound = Literal["clopper-pearson", "simultaneous", "tangent-bets", "beta-mixture"]


class Strict(BaseModel):
    """A frozen pydantic model that rejects unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")


def is_none(value: object) -> bool:
    """True if the value is None. Fields that newer versions added are not written when they are unknown.

    A file of an earlier version is therefore written again byte for byte.
    """
    return value is None


class CertifiedAccuracy(Strict):
    """Share of the images that are classified correctly with a certified radius of at least `radius`."""

    radius: float = Field(ge=0)
    accuracy: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @property
    def at(self) -> str:
        """The radius with all its digits: a rounded radius could be larger than the certified radius."""
        return repr(self.radius).removesuffix(".0")


class ShareAtMost(Strict):
    """Share of the images whose estimate of p_A is at most `p_a`, with the band of the distribution there."""

    p_a: float = Field(ge=0, le=1)
    share: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class LabelDistribution(Strict):
    """The distribution over images of p_A of the true class, estimated per image as `count_label / n`.

    `points` are values of the empirical distribution function. The band of `half_width` around the function contains
    the distribution function of the estimate everywhere at once with probability `confidence`, for images that are a
    random sample. It does not bound the exact probabilities, which differ from the estimates by the noise of `n` draws.
    """

    confidence: float = Field(gt=0, lt=1)
    half_width: float = Field(gt=0)
    points: tuple[ShareAtMost, ...]


class ClassCounts(Strict):
    """The images of one class: `num_certified[i]` are correct with radius at least the i-th radius of the result."""

    label: int = Field(ge=0)
    num_images: int = Field(gt=0)
    num_certified: tuple[int, ...]


Sampling = Literal["stratified", "random"]


class ImageSelection(Strict):
    """The selection of images: every `skip`-th image of the split, up to number `maximum` if it is given.

    `sample` is the kind of a sample of `num_images` images, drawn with the result's seed (`zoo.results.selection`). It
    is None for evenly spaced images.
    """

    task: str
    split: str
    skip: int = Field(ge=1)
    maximum: int | None = Field(default=None, ge=1)
    sample: Sampling | None = Field(default=None, exclude_if=is_none)
    num_images: int = Field(gt=0)


class CertificationConditions(Strict):
    """The parameters that a certificate depends on in addition to the network and the image.

    `n` is the number of draws, or the maximum number under the stopping rule; `mean_n` is the average number that the
    rule made. `radius_asked` is the radius of a stopping rule that decides a single radius.
    """

    sigma: float = Field(ge=0)
    noise: str
    n0: int = Field(ge=0)
    n: int = Field(gt=0)
    mean_n: float | None = Field(default=None, gt=0)
    alpha: float = Field(gt=0, lt=1)
    stopping: str
    radius_asked: float | None = Field(default=None, ge=0)
    tolerance: float | None = Field(default=None, ge=0)
    backend: str
    seed: int


class SharedAlpha(Strict):
    """The certificates of a run as one family: all `size` hold at once with probability at least 1 - `alpha`.

    Each certificate has the error probability `alpha / size`.
    """

    alpha: float = Field(gt=0, lt=1)
    size: int = Field(ge=1)


class CertificationResult(CertificationConditions, ImageSelection):
    """The numbers on the card that are computed from the certification log of a test set.

    Fractions are in [0, 1], intervals at 95 % over images. A stopping rule that decides a single radius yields neither
    standard accuracy nor average certified radius: both are None. `bound` is None on cards of earlier versions, which
    had one bound per rule. `p_a_of_label` is None if the log does not determine it. `batch_size` is the number of noisy
    copies per forward pass, where the votes depend on it and it was recorded. `alpha` is the error probability of each
    certificate; `family` is None if it is not a part of a shared one. `classes` counts the images of each class that
    has any; None where it was not recorded.
    """

    bound: Bound | None = Field(default=None, exclude_if=is_none)
    batch_size: int | None = Field(default=None, ge=1, exclude_if=is_none)
    family: SharedAlpha | None = Field(default=None, exclude_if=is_none)
    standard_accuracy: float | None = Field(default=None, ge=0, le=1)
    standard_accuracy_interval: tuple[float, float] | None = None
    average_certified_radius: float | None = Field(default=None, ge=0)
    average_certified_radius_interval: tuple[float, float] | None = None
    abstention_rate: float = Field(ge=0, le=1)
    certified_accuracy: tuple[CertifiedAccuracy, ...]
    p_a_of_label: LabelDistribution | None = Field(default=None, exclude_if=is_none)
    classes: tuple[ClassCounts, ...] | None = Field(default=None, exclude_if=is_none)

    @model_validator(mode="after")
    def _counts_at_every_radius(self) -> CertificationResult:
        if any(len(counts.num_certified) != len(self.certified_accuracy) for counts in self.classes or ()):
            raise ValueError("every class needs one count per radius of certified_accuracy")
        return self

    @property
    def images(self) -> str:
        """The selection of certified images, in words."""
        return images_in_words(self)

    @property
    def rule(self) -> str:
        """The number of draws and the bound on the probability, in words."""
        if self.bound == "simultaneous":
            return (
                f"bounds of the class and of the runner-up from n = {self.n:,} further draws (simultaneous "
                f"Clopper-Pearson at alpha / 2 each, stopping rule `{self.stopping}`)"
            )
        if self.stopping == "fixed":
            return f"bound from n = {self.n:,} further draws (one-sided Clopper-Pearson, stopping rule `fixed`)"
        radius = "" if self.radius_asked is None else f" at radius {self.radius_asked}"
        tolerance = "" if self.tolerance is None else f" with tolerance {self.tolerance}"
        mean = "" if self.mean_n is None else f", {self.mean_n:,.1f} on average"
        method = "beta-mixture confidence sequence"
        if self.bound == "tangent-bets":
            method = "bets on tangents, for the class and against every other class"
        return (
            f"bound from at most n = {self.n:,} further draws{mean} ({method}, stopping rule "
            f"`{self.stopping}`{radius}{tolerance})"
        )


class CalibrationConditions(Strict):
    """The guarantee of calibrated label sets, and what the calibration depends on besides the network and the images.

    With probability at least 1 - `alpha` over image, calibration and noise, the set from one draw contains the true
    class of an image that was changed by at most `radius` in l2. `threshold` is the largest score in a set. `seed` is
    the root of the choice of the calibration images and of their noise. `batch_size` is the number of noisy copies per
    forward pass, where logits depend on it.
    """

    task: str
    split: Literal["test"] = "test"
    radius: float = Field(ge=0)
    alpha: float = Field(gt=0, lt=1)
    sigma: float = Field(gt=0)
    noise: Literal["gaussian", "discrete"]
    score: Literal["negative-log-softmax"]
    threshold: float
    backend: str
    batch_size: int | None = Field(default=None, ge=1)
    seed: int = Field(ge=0)


class CalibrationResult(CalibrationConditions):
    """The numbers on the card that are computed from calibration.json.

    `num_images` images of the split calibrate the sets. `coverage` and `mean_size` are those of one set per image of
    the split's `num_measured_images` other images, without an attack. Intervals are at 95 % over images.
    """

    num_images: int = Field(ge=1)
    num_measured_images: int = Field(ge=1)
    coverage: float = Field(ge=0, le=1)
    coverage_interval: tuple[float, float]
    mean_size: float = Field(ge=0)
    mean_size_interval: tuple[float, float]


class NoiseAccuracy(Strict):
    """Accuracy of the base classifier under one draw of Gaussian noise per image, with a 95 % interval over images."""

    sigma: float = Field(ge=0)
    accuracy: float = Field(ge=0, le=1)
    interval: tuple[float, float] | None = None


class SmoothedTarget(Strict):
    """The smoothed classifier that was attacked.

    The attack averages its gradient over `num_noise_samples` draws; each prediction uses `n` draws at `alpha`.
    """

    sigma: float = Field(gt=0)
    num_noise_samples: int = Field(ge=1)
    n: int = Field(ge=1)
    alpha: float = Field(gt=0, lt=1)


class AttackParameters(Strict):
    """The parameters of an attack. `epsilon` and `step_size` are on the [0, 1] pixel scale.

    `step_size` is the first step size if the attack adapts it. An ensemble of attacks has no single step size or loss:
    both are None.
    """

    name: str
    version: str
    norm: Literal["l2", "linf"]
    epsilon: float = Field(ge=0)
    num_steps: int = Field(ge=1)
    step_size: float | None = Field(default=None, ge=0)
    start: str
    loss: Literal["ce", "dlr"] | None = None
    num_restarts: int = Field(default=1, ge=1)
    seed: int | None = None


class Attack(AttackParameters):
    """An attack on the base classifier or, if `smoothed` is given, on that smoothed classifier.

    `notes` state what else the attack did, and what it omitted.
    """

    smoothed: SmoothedTarget | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The attack in words."""
        length = "" if self.step_size is None else f" of {self.step_size:g}"
        parts = [
            f"{self.name} ({self.version})",
            f"{self.norm} epsilon {self.epsilon:g}",
            f"{self.num_steps} steps{length} from {self.start}",
        ]
        parts += [] if self.loss is None else [f"loss {self.loss}"]
        parts += [] if self.num_restarts == 1 else [f"{self.num_restarts} restarts"]
        parts += [] if self.seed is None else [f"seed {self.seed}"]
        if self.smoothed is not None:
            parts.append(
                f"gradient over {self.smoothed.num_noise_samples} draws of noise of sigma {self.smoothed.sigma:g}, "
                f"predictions from n = {self.smoothed.n:,} draws at alpha = {self.smoothed.alpha:g}"
            )
        return "; ".join([", ".join(parts), *self.notes])


class EmpiricalResult(Strict):
    """The results of `zoo evaluate`. Fractions are in [0, 1], intervals at 95 % over images.

    Every `skip`-th image of the split was evaluated, up to number `maximum` if it is given, or a `sample` of
    `num_images` images (`ImageSelection`). `robust_accuracy` is the
    share of all images that are classified correctly and remain so under the attack. It is an upper bound, because a
    better attack may break more images. Means over classes weigh every class equally, however many images it has.

    If `classifier` is "smoothed", standard accuracy is that of the smoothed classifier, and an abstention counts as
    wrong. Robust accuracy then counts every image that the smoothed classifier does not classify wrongly, attacked or
    not, because an abstention proves nothing. `attacked_abstention_rate` is the share of abstentions under attack.
    `smoothed` is a result of the smoothed classifier, recorded with the result of the base classifier. `backend` names
    the backend that computed the logits, and `batch_size` is the number of images per forward pass. The last digits of
    the logits depend on both; they are None where they were not recorded.
    """

    classifier: Literal["base", "smoothed"] = "base"
    task: str
    split: str
    skip: int = Field(default=1, ge=1)
    maximum: int | None = Field(default=None, ge=1)
    sample: Sampling | None = Field(default=None, exclude_if=is_none)
    num_images: int = Field(gt=0)
    standard_accuracy: float = Field(ge=0, le=1)
    standard_accuracy_interval: tuple[float, float]
    mean_per_class_accuracy: float | None = Field(default=None, ge=0, le=1)
    noise: tuple[NoiseAccuracy, ...] = ()
    attack: Attack | None = None
    robust_accuracy: float | None = Field(default=None, ge=0, le=1)
    robust_accuracy_interval: tuple[float, float] | None = None
    mean_per_class_robust_accuracy: float | None = Field(default=None, ge=0, le=1)
    attacked_abstention_rate: float | None = Field(default=None, ge=0, le=1)
    backend: str | None = Field(default=None, exclude_if=is_none)
    batch_size: int | None = Field(default=None, ge=1, exclude_if=is_none)
    seed: int
    smoothed: EmpiricalResult | None = None

    @model_validator(mode="after")
    def _names_its_attack(self) -> EmpiricalResult:
        parts = (self.attack, self.robust_accuracy, self.robust_accuracy_interval)
        if any(part is None for part in parts) and any(part is not None for part in parts):
            raise ValueError("a robust accuracy needs its interval and its attack")
        if self.smoothed is not None and (self.smoothed.classifier, self.classifier) != ("smoothed", "base"):
            raise ValueError(
                "`smoothed` must be a result of the smoothed classifier, in a result of the base classifier"
            )
        return self

    @property
    def images(self) -> str:
        """The selection of evaluated images, in words."""
        return images_in_words(self)


def images_in_words(result: CertificationResult | EmpiricalResult) -> str:
    """The selection of images that `--images`, or `--skip` and `--max`, make, in words."""
    if result.sample is not None:
        return f"a {result.sample} sample with seed {result.seed}"
    skip, maximum = result.skip, result.maximum
    every = "every image" if skip == 1 else f"evenly spaced images 0, {skip}, {2 * skip} and so on"
    return every if maximum is None else f"{every} below {maximum}"
