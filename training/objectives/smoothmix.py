"""SmoothMix (Jeong et al. 2021, section 3.2, equations 8 to 11)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks import pgd, under_attack
from training.attacks.smoothed import log_mean, log_probabilities, negative_log_likelihood
from training.attacks.target import Network
from training.objectives.objective import Batch, Objective, ObjectiveOutput, Progress, gaussian_copies, require_at_least
from training.streams import uniform_per_image
from training.threat import ThreatModel

UNBOUNDED = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothMix(Objective):
    """Cross-entropy on `m` noisy copies, plus a penalty that lowers the smoothed classifier's confidence between an
    image and an adversarial image.

    The adversarial image x' is the result of `num_steps` steps of length `alpha` along the normalized gradient of
    -log F_y, bounded only by the pixel range; F is the mean softmax over the copies. With u uniform in [0, 1/2] for
    each image, the same noise d_i throughout, and w rising epoch by epoch from 1 / `warmup_epochs` to 1:

        x_mix = (1 - u) x + u x'          y_mix = (1 - u) F(x) + u / K
        mean CE(f(x + d_i), y)  +  eta * w * mean over m and B of 1[argmax F(x) = y] * KL(y_mix || F_i(x_mix))

    The gradient flows through y_mix too. With `one_step_adversary`, the first step of the search, projected to
    w * alpha, replaces x in both terms (the published `mix_step` 1).
    """

    sigma: float = 0.5
    m: int = 2
    num_steps: int = 4
    alpha: float = 1.0
    eta: float = 5.0
    one_step_adversary: bool = False
    warmup_epochs: int = 10

    def __post_init__(self) -> None:
        require_at_least(self, sigma=0, m=1, num_steps=1, alpha=0, eta=0, warmup_epochs=0)

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        labels_B, weight = batch.labels_B, Progress(int(progress.epochs) + 1).warmup(self.warmup_epochs)
        noise_MBCHW = gaussian_copies(batch, self.sigma, self.m, generator)
        u_B = uniform_per_image(batch.numbers_B, generator, device=batch.x_BCHW.device).to(batch.x_BCHW.dtype) / 2
        with under_attack(model) as target:
            x_BCHW, adversarial_BCHW = self._ends(target, batch, noise_MBCHW, weight)

        log_MBK = log_probabilities(model, x_BCHW, noise_MBCHW)
        cross_entropy = F.nll_loss(log_MBK.flatten(0, 1), labels_B.repeat(self.m))

        mean_BK = log_mean(log_MBK).exp()
        is_correct_B = mean_BK.argmax(dim=1) == labels_B
        target_BK = torch.lerp(mean_BK, torch.full_like(mean_BK, 1 / mean_BK.shape[1]), u_B.unsqueeze(1))
        mixed_BCHW = torch.lerp(x_BCHW, adversarial_BCHW, u_B.view(-1, 1, 1, 1))
        mixed_MBK = log_probabilities(model, mixed_BCHW, noise_MBCHW)
        divergence_MB = (torch.special.xlogy(target_BK, target_BK) - target_BK * mixed_MBK).sum(dim=2)
        mixup = (is_correct_B * divergence_MB).mean()

        return ObjectiveOutput(
            loss=cross_entropy + self.eta * weight * mixup,
            metrics={"cross_entropy": cross_entropy.detach(), "mixup": mixup.detach()},
        )

    def _ends(self, target: Network, batch: Batch, noise_MBCHW: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """The two images that are mixed: x and x'."""

        def search(start_BCHW: Tensor, num_steps: int) -> Tensor:
            return pgd(
                lambda x_BCHW: negative_log_likelihood(target, x_BCHW, noise_MBCHW, batch.labels_B),
                batch.x_BCHW,
                threat=ThreatModel(epsilon=UNBOUNDED),
                num_steps=num_steps,
                step_size=self.alpha,
                start_BCHW=start_BCHW,
            )

        if not self.one_step_adversary:
            return batch.x_BCHW, search(batch.x_BCHW, self.num_steps)
        first_BCHW = search(batch.x_BCHW, 1)
        nearer_BCHW = ThreatModel(epsilon=weight * self.alpha).project(first_BCHW, batch.x_BCHW)
        return nearer_BCHW, search(first_BCHW, self.num_steps - 1)
