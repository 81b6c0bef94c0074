"""The specification of a certification and its result, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_count, checked_sigma
from zoo.smoothing.family import FamilyMember
from zoo.smoothing.noise import Noise, require_noise
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import DEFAULT_MAX_N, FixedSample, Proof, StoppingRule, Tally

if TYPE_CHECKING:
    from zoo.smoothing.vote_counts import VoteCounts

__all__ = ["Certificate", "SmoothingSpec", "certified_radius", "conclude"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSpec:
    """The parameters of a guarantee: the noise, the draws and the failure probability.

    Args:
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale. 0 selects the clean classifier: one
            evaluation (`n0` becomes 0 and `n` becomes 1), radius 0.
        n0: Draws that select the class, by default the rule's `usual_n0`: 100, or 16 to 100 for an at-radius rule.
        n: Further draws for the bound; the maximum if the stopping rule may end earlier.
        alpha: Upper bound of the probability that a certificate is wrong.
        stopping: The stopping rule, by default `FixedSample(n)`. Its `max_n` becomes `n`.
        noise: "gaussian", or "discrete" for integer noise on 8-bit pixels.

    `dataclasses.replace(spec, n=...)` keeps the kind of rule. `replace(spec, stopping=...)` takes `n` from the rule,
    and also `n0` unless it was given.

    >>> from dataclasses import replace
    >>> from zoo.smoothing import AtRadius, SmoothingSpec
    >>> spec = SmoothingSpec(sigma=0.5, stopping=AtRadius(0.25))
    >>> replace(spec, n=1000).stopping
    AtRadius(radius=0.25, max_n=1000)

    Raises: CertificationError if a value is outside its range, or the draws can never certify at `alpha`.
    """

    sigma: float
    n0: int = None  # type: ignore[assignment] # by default the rule's
    n: int = None  # type: ignore[assignment] # by default the rule's
    alpha: float = 0.001
    stopping: StoppingRule = None  # type: ignore[assignment] # by default FixedSample(n)
    noise: Noise = "gaussian"
    # `n` and `stopping` as initialized, and `n0` if it is the rule's. `dataclasses.replace` passes all of them.
    # Comparing them shows which one changed.
    _settled: tuple[int, StoppingRule, int | None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", checked_sigma(self.sigma))
        object.__setattr__(self, "alpha", checked_alpha(self.alpha))
        require_noise(self.noise, sigma=self.sigma)
        stopping, usual_n0 = self._rule(), None
        if self.sigma == 0:
            if stopping.radius_asked:
                raise CertificationError(f"radius {stopping.radius_asked:g} can never be certified at sigma 0")
            object.__setattr__(self, "n0", 0)
            stopping = FixedSample(1)
        else:
            if cast("int | None", self.n0) in (None, self._settled and self._settled[2]):
                usual_n0 = stopping.usual_n0(sigma=self.sigma)
                object.__setattr__(self, "n0", usual_n0)
            object.__setattr__(self, "n0", checked_count("n0", self.n0))
            stopping.require_possible(sigma=self.sigma, alpha=self.alpha)
        object.__setattr__(self, "stopping", stopping)
        object.__setattr__(self, "n", stopping.max_n)
        object.__setattr__(self, "_settled", (stopping.max_n, stopping, usual_n0))

    def _rule(self) -> StoppingRule:
        """The stopping rule that follows from `n` and `stopping`."""
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
        raise CertificationError(
            f"n={n} contradicts the stopping rule, which makes at most {stopping.max_n} draws: give only one of them"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The class of an image and its certified radius, or an abstention.

    Guarantee: with probability at least `1 - alpha` over the noise, the smoothed classifier returns `label` for every
    tensor within distance `radius` of the certified tensor, in `norm` and on the [0, 1] pixel scale.

    Attributes:
        label: The class, or None for an abstention, which claims nothing.
        radius: The certified radius; 0 for an abstention.
        p_a_lower: Lower bound of the selected class's probability; None if the radius does not rest on such a bound.
        count_a: Draws among the `n` that voted for the class that the `n0` draws selected, even if not certified.
        count_b: Draws among the `n` that voted for the most frequent other class.
        sigma: Standard deviation of the noise.
        n0, n: Draws for the selection and for the bound.
        alpha: Upper bound of the probability that the certificate is wrong.
        stopping, bound: Names of the stopping rule and of the confidence bound.
        p_b_upper: Upper bound of the probability of every other class, if the bound uses one.
        radius_asked: The radius that an at-radius rule tested.
        noise: "gaussian" or "discrete".
        input: Description of the certified tensor.
        backend: The backend that computed the base classifier. The guarantee is about this base classifier.
        class_name: The name of `label`, if names are known.
        family: The place among the questions that share one alpha, of which `alpha` is this certificate's part.

    With "gaussian" noise, the theorem about real numbers is applied to float32 arithmetic. With "discrete" noise, the
    tensor is the 8-bit image k / 255. The theorem then holds for the arithmetic that ran, provided that the backend
    computes a function of these levels.
    """

    label: int | None
    radius: float
    p_a_lower: float | None
    count_a: int
    count_b: int
    sigma: float
    n0: int
    n: int
    alpha: float
    stopping: str = "fixed"
    bound: str = "clopper-pearson"
    p_b_upper: float | None = None
    radius_asked: float | None = None
    noise: Noise = "gaussian"
    norm: str = "l2"
    input: str = ""
    backend: str = ""
    class_name: str | None = None
    family: FamilyMember | None = None

    @property
    def abstained(self) -> bool:
        return self.label is None


def conclude(
    label: int,
    votes: VoteCounts,
    spec: SmoothingSpec,
    *,
    alpha: float,
    radius: float | None = None,
    input: str = "",
    backend: str = "",
) -> Certificate:
    """The certificate that follows from the votes when the stopping rule has ended.

    Args:
        label: The class selected from the `n0` draws.
        votes: Votes of the draws for the bound, up to the end of the rule.
        spec: The specification of the certification.
        alpha: The part of `spec.alpha` that the bound may use.
        radius: The radius from the rule's last look.
        input: Description of the certified tensor.
        backend: Name of the backend.

    At sigma 0 the single evaluation of the clean classifier decides. Without it the certificate abstains.

    Source: Cohen et al. 2019, CERTIFY.
    """
    tally = Tally(count_a=votes.of(label), count_b=votes.most_other(label), n=votes.total)
    if spec.sigma == 0:
        proof = Proof(p_a_lower=1.0, radius=0.0) if tally.n > 0 else Proof(p_a_lower=0.0, radius=None)
    else:
        proof = spec.stopping.prove(tally, radius=radius, sigma=spec.sigma, alpha=alpha)
    return Certificate(
        label=None if proof.radius is None else label,
        radius=proof.radius or 0.0,
        p_a_lower=proof.p_a_lower,
        count_a=tally.count_a,
        count_b=tally.count_b,
        sigma=spec.sigma,
        n0=spec.n0,
        n=tally.n,
        alpha=spec.alpha,
        stopping=spec.stopping.name,
        bound=spec.stopping.bound,
        p_b_upper=proof.p_b_upper,
        radius_asked=spec.stopping.radius_asked,
        noise=spec.noise,
        input=input,
        backend=backend,
    )
