"""CERTIFY as a job: the class is selected first, then its probability is bounded."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from torch import Tensor

from zoo.smoothing.backends import Classes
from zoo.smoothing.certificate import Certificate, SmoothingSpec, conclude
from zoo.smoothing.jobs.job import checked_pixels
from zoo.smoothing.noise import Draws, NoiseKey, Phase, alpha_left
from zoo.smoothing.stopping import FixedSample, Tallies
from zoo.smoothing.vote_counts import VoteCounts


class Certification:
    """CERTIFY: selects the class from `n0` draws and bounds its probability from fresh draws (Cohen et al. 2019).

    The stopping rule evaluates the votes in the order of the draws' counters, and draws after its end are discarded.
    The answer therefore does not depend on the number of draws per batch.
    """

    def __init__(
        self,
        id: Hashable,
        x_CHW: Tensor,
        *,
        smoothing: SmoothingSpec,
        key: NoiseKey,
        input: str | None = None,
    ) -> None:
        """Checks and copies the image.

        Args:
            id: Identifies the job in its engine.
            x_CHW: The image, in [0, 1].
            smoothing: sigma, the draws and alpha.
            key: Key of the job's noise.
            input: Description of the image in the certificate; by default its shape and range.

        Raises: CertificationError as `checked_pixels`, or if alpha is too small for discrete noise.
        """
        self.id = id
        self.x_CHW = checked_pixels(x_CHW, noise=smoothing.noise)
        self.smoothing = smoothing
        self.key = key
        self.input = input or f"{'x'.join(str(size) for size in self.x_CHW.shape)} in [0, 1]"
        num_values = self.x_CHW.size * (smoothing.n0 + smoothing.n)
        self.alpha = alpha_left(smoothing.alpha, sigma=smoothing.sigma, noise=smoothing.noise, num_values=num_values)
        self._num_taken = {Phase.SELECTION: 0, Phase.ESTIMATION: 0}
        self._votes = {phase: VoteCounts() for phase in Phase}
        self._radius: float | None = None  # proved by the looks so far
        self._ended = False

    @property
    def num_remaining(self) -> int:
        return sum(self._num_requested(phase) for phase in Phase)

    @property
    def num_expected(self) -> int:
        """The remaining draws if their number is known; otherwise at least as many draws as were made so far."""
        remaining = self.num_remaining
        return remaining if remaining == self.num_useful else max(remaining, self.num_taken)

    @property
    def num_useful(self) -> int:
        return sum(self._num_useful(phase) for phase in Phase)

    @property
    def num_taken(self) -> int:
        return sum(self._num_taken.values())

    def first_draws(self, num: int) -> Draws:
        spec = self.smoothing
        phase, num_in_phase = (Phase.SELECTION, spec.n0) if spec.n0 else (Phase.ESTIMATION, spec.n)
        return Draws(self.x_CHW, spec.sigma, spec.noise, self.key, phase, 0, min(num, num_in_phase))

    def take(self, num: int) -> list[Draws]:
        taken = []
        for phase in Phase:
            share = min(self._num_useful(phase), num)
            if share > 0:
                spec, start = self.smoothing, self._num_taken[phase]
                taken.append(Draws(self.x_CHW, spec.sigma, spec.noise, self.key, phase, start, share))
                self._num_taken[phase] += share
                num -= share
        return taken

    def adapts_to(self, draws: Draws) -> bool:
        return draws.phase is Phase.ESTIMATION and not isinstance(self.smoothing.stopping, FixedSample)

    def record(self, draws: Draws, classes_M: Classes) -> None:
        if draws.phase is Phase.ESTIMATION:
            classes_M = self._until_end(draws.start, classes_M)
        self._votes[draws.phase].add(classes_M)

    def result(self, *, backend: str) -> Certificate:
        votes = self._votes[Phase.ESTIMATION]
        return conclude(
            self._label,
            votes,
            self.smoothing,
            alpha=self.alpha,
            radius=self._radius,
            input=self.input,
            backend=backend,
        )

    def num_votes(self, label: int) -> int:
        """The number of draws that voted for class `label`, among those that the certificate counts as `n`."""
        return self._votes[Phase.ESTIMATION].of(label)

    def so_far(self, *, backend: str) -> Certificate:
        """The certificate that the votes so far prove; an abstention while the class is not selected.

        The certificate holds at level alpha whenever and for whatever reason drawing stops.
        Raises: CertificationError if the rule allows a look only at its end.
        """
        if self._votes[Phase.ESTIMATION].total:  # the selection has finished
            return self.result(backend=backend)
        return conclude(0, VoteCounts(), self.smoothing, alpha=self.alpha, input=self.input, backend=backend)

    def _until_end(self, start: int, classes_M: Classes) -> Classes:
        """The votes up to the end of the rule; no votes if the rule has ended."""
        if self._ended:
            return classes_M[:0]
        if self.smoothing.sigma == 0:  # the single vote of the clean classifier selects the class and ends the job
            self._ended = True
            return classes_M
        counts_a_M, counts_b_M = self._votes[Phase.ESTIMATION].running(self._label, classes_M)
        nums_M = start + np.arange(1, len(classes_M) + 1)
        tallies = Tallies(counts_a_M=counts_a_M, counts_b_M=counts_b_M, nums_M=nums_M)
        spec = self.smoothing
        look = spec.stopping.look(tallies, radius=self._radius, sigma=spec.sigma, alpha=self.alpha)
        self._radius = look.radius
        if look.end is None:
            return classes_M
        self._ended = True
        return classes_M[: look.end + 1]

    @property
    def _label(self) -> int:
        """The selected class, the lowest one on ties; at sigma 0 the vote of the clean classifier."""
        return self._votes[Phase.SELECTION if self.smoothing.n0 else Phase.ESTIMATION].top

    def _num_requested(self, phase: Phase) -> int:
        if phase is Phase.SELECTION or self._ended:
            return self._num_useful(phase)
        return self.smoothing.stopping.num_wanted(self._num_taken[phase])

    def _num_useful(self, phase: Phase) -> int:
        if phase is Phase.SELECTION:
            return self.smoothing.n0 - self._num_taken[phase]
        return 0 if self._ended else self.smoothing.n - self._num_taken[phase]
