"""What is asked of a certificate, and what it says. Numbers only, no tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_count, checked_sigma
from zoo.smoothing.noise import Noise, require_noise
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import DEFAULT_MAX_N, FixedSample, Proof, StoppingRule, Tally

__all__ = ["Certificate", "SmoothingSpec", "certified_radius", "conclude"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSpec:
    """What defines a guarantee: the noise, the draws and the failure probability.

    The class is chosen from `n0` draws; the bound comes from further draws, as many as the stopping rule wants: `n`
    exactly unless another rule is given, whose `max_n` then is `n`. `sigma` is on the [0, 1] pixel scale. A wrong
    certificate has probability at most `alpha`. sigma 0 is the clean classifier: one evaluation (`n0` 0, `n` 1 whatever
    was given), radius 0.

    `dataclasses.replace(spec, n=...)` keeps the rule's kind, and `replace(spec, stopping=...)` takes the rule's draws.

    >>> from dataclasses import replace
    >>> from zoo.smoothing import AtRadius, SmoothingSpec
    >>> spec = SmoothingSpec(sigma=0.5, stopping=AtRadius(0.25))
    >>> replace(spec, n=1000).stopping
    AtRadius(radius=0.25, max_n=1000)

    Raises: CertificationError if a value is outside its range, or the draws can never certify at `alpha`.
    """

    sigma: float
    n0: int = 100
    n: int = None  # type: ignore[assignment] # left out: the rule's
    alpha: float = 0.001
    stopping: StoppingRule = None  # type: ignore[assignment] # left out: FixedSample(n)
    noise: Noise = "gaussian"
    # `n` and `stopping` as they were settled. `dataclasses.replace` hands all three on, which tells the changed one.
    _settled: tuple[int, StoppingRule] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", checked_sigma(self.sigma))
        object.__setattr__(self, "alpha", checked_alpha(self.alpha))
        require_noise(self.noise, sigma=self.sigma)
        stopping = self._rule()
        if self.sigma == 0:
            if stopping.radius_asked:
                raise CertificationError(f"radius {stopping.radius_asked:g} can never be certified at sigma 0")
            object.__setattr__(self, "n0", 0)
            stopping = FixedSample(1)
        else:
            object.__setattr__(self, "n0", checked_count("n0", self.n0))
            stopping.require_possible(sigma=self.sigma, alpha=self.alpha)
        object.__setattr__(self, "stopping", stopping)
        object.__setattr__(self, "n", stopping.max_n)
        object.__setattr__(self, "_settled", (stopping.max_n, stopping))

    def _rule(self) -> StoppingRule:
        """The stopping rule that `n` and `stopping` mean together."""
        stopping, n = cast("StoppingRule | None", self.stopping), cast("int | None", self.n)
        if stopping is None:
            return FixedSample(DEFAULT_MAX_N if n is None else n)
        if not isinstance(stopping, StoppingRule):
            raise CertificationError(f"stopping must be a stopping rule, such as AtRadius(0.5), got {stopping!r}")
        if n is None or n == stopping.max_n:
            return stopping
        if self._settled is not None and stopping == self._settled[1]:
            return stopping.with_max_n(n)
        if self._settled is not None and n == self._settled[0]:
            return stopping
        raise CertificationError(f"n={n}, but the stopping rule makes at most {stopping.max_n} draws: give one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """With probability at least `1 - alpha` over the noise drawn, the smoothed classifier answers `label` everywhere
    within distance `radius`, in `norm` and on the [0, 1] pixel scale, of the tensor that was certified.

    `label` None means: abstained, and nothing is claimed (radius 0). `class_name` is the label's name, where the names
    are known. `count_a` of the `n` draws named the class that
    the `n0` selection draws had chosen, whether it was certified or not. `p_a_lower` bounds its probability (0 where an
    at-radius rule did not certify); `p_b_upper` that of every other class, where the bound has one, and then
    `count_b` of the draws named the most frequent other class. `radius_asked` is the one radius that an at-radius rule
    was to decide.

    What is covered: the tensor that `input` describes, with the base classifier as `backend` computes it. With
    "gaussian" noise the theorem, which is about real numbers, is applied to float32. With "discrete" noise the tensor
    is the 8-bit image k / 255, and the theorem holds for the arithmetic that ran, whatever function of these levels
    the backend computes, as long as it is one.
    """

    label: int | None
    radius: float
    p_a_lower: float
    count_a: int
    sigma: float
    n0: int
    n: int
    alpha: float
    stopping: str = "fixed"
    bound: str = "clopper-pearson"
    p_b_upper: float | None = None
    count_b: int | None = None
    radius_asked: float | None = None
    noise: Noise = "gaussian"
    norm: str = "l2"
    input: str = ""
    backend: str = ""
    class_name: str | None = None

    @property
    def abstained(self) -> bool:
        return self.label is None


def conclude(
    label: int,
    votes: Counter[int],
    spec: SmoothingSpec,
    *,
    alpha: float,
    p_a_lower: float = 0.0,
    input: str = "",
    backend: str = "",
) -> Certificate:
    """The certificate after the rule has ended, from the votes up to there; `label` is the class chosen before.

    `alpha` is what is left of the spec's for the bound, `p_a_lower` the bound that the rule's last look gave. At sigma
    0 the one evaluation of the clean classifier decides; without it the certificate abstains.

    Source: Cohen et al. 2019, CERTIFY.
    """
    count_a, n = votes[label], votes.total()
    count_b = max((count for other, count in votes.items() if other != label), default=0)
    if spec.sigma == 0:
        proof = Proof(p_a_lower=1.0, radius=0.0) if n > 0 else Proof(p_a_lower=0.0, radius=None)
    else:
        tally = Tally(count_a=count_a, count_b=count_b, n=n)
        proof = spec.stopping.prove(tally, p_a_lower=p_a_lower, sigma=spec.sigma, alpha=alpha)
    return Certificate(
        label=None if proof.radius is None else label,
        radius=proof.radius or 0.0,
        p_a_lower=proof.p_a_lower,
        count_a=count_a,
        sigma=spec.sigma,
        n0=spec.n0,
        n=n,
        alpha=spec.alpha,
        stopping=spec.stopping.name,
        bound=spec.stopping.bound,
        p_b_upper=proof.p_b_upper,
        count_b=None if proof.p_b_upper is None else count_b,
        radius_asked=spec.stopping.radius_asked,
        noise=spec.noise,
        input=input,
        backend=backend,
    )
