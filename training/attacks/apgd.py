"""Auto-PGD (Croce and Hein 2020, section 3): projected gradient ascent with momentum and adaptive step sizes.

Constants, order of operations and rounding follow the authors' code (fra31/auto-attack), including its quirks. From
equal starts both searches visit bitwise identical images. Only the returned images differ: where rounding left an image
outside the ball, the image is shrunk into the ball by an ulp or two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.attacks.losses import Loss, find_loss
from training.attacks.perturbations import NORM_EPS, attack_with_restarts, plain_l2_norm, random_start, strictly_inside
from training.attacks.target import Network, under_attack
from training.threat import ThreatModel

FIRST_WINDOW, SHRINKING, SMALLEST_WINDOW = 0.22, 0.03, 0.06
"""Lengths of the windows between two checks of the step sizes, as shares of the number of steps."""
RISING_SHARE = 0.75
"""The step is halved if at most this share of a window's steps raised the loss."""
FRESH_SHARE = 0.75
"""The share of the new direction in a step; the rest is momentum."""
SOUND_NORM = 1e-6
"""The squares of gradients with a smaller norm underflow in float32."""


def apgd(
    model: Network,
    x_BCHW: Tensor,
    labels_B: Tensor,
    *,
    threat: ThreatModel,
    num_steps: int = 100,
    num_restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator,
    numbers_B: Tensor | None = None,
) -> Tensor:
    """For each image, the last image of the search that the threat model allows and the network misclassifies.

    An image is returned unchanged if the search met no such image or the image is already misclassified. The network is
    attacked in eval mode and full precision. Each restart begins at a random point of the sphere of radius epsilon and
    attacks the images that are still classified correctly. The change, measured in float64, is at most epsilon.

    Args:
        model: network that maps pixels in [0, 1] to logits.
        x_BCHW: images in [0, 1].
        labels_B: true classes.
        threat: allowed changes.
        num_steps: number of steps per restart.
        num_restarts: number of random starts.
        loss: loss that the search maximizes, "ce" or "dlr".
        generator: generator of the random starts, on the CPU.
        numbers_B: image numbers that key the starts, so that an image's starts depend on the generator and the number
            only. Without numbers the starts are drawn for the batch at once, as the authors' code draws them from
            torch's global generator.
    Raises: UnknownNameError; RequestError for the loss "dlr" on fewer than 3 classes.
    """
    with under_attack(model) as target:

        def search(restart: int, places_R: Tensor) -> Tensor:
            center_RCHW, labels_R = x_BCHW.detach()[places_R], labels_B[places_R]
            numbers_R = None if numbers_B is None else numbers_B[places_R.to(numbers_B.device)]
            start_RCHW = random_start(center_RCHW, threat, generator=generator, numbers_B=numbers_R)
            adversarial_RCHW = _Search(target, center_RCHW, labels_R, start_RCHW, threat=threat, loss=loss).run(
                num_steps
            )
            return strictly_inside(adversarial_RCHW, center_RCHW, threat)

        return attack_with_restarts(target, x_BCHW, labels_B, search, num_restarts=num_restarts)


class _Search:
    """One search from one start per image of a batch; step sizes and all remembered values are per image."""

    def __init__(
        self,
        target: Network,
        center_BCHW: Tensor,
        labels_B: Tensor,
        start_BCHW: Tensor,
        *,
        threat: ThreatModel,
        loss: Loss,
    ) -> None:
        self.target, self.center_BCHW, self.labels_B = target, center_BCHW, labels_B
        self.threat, self.loss = threat, loss
        self.current_BCHW = self.previous_BCHW = self.fooling_BCHW = start_BCHW
        self.gradient_BCHW, loss_B, _ = self._evaluated(start_BCHW)
        self.best_BCHW, self.best_gradient_BCHW, self.best_B = start_BCHW, self.gradient_BCHW, loss_B
        self.step_B111 = torch.full_like(start_BCHW[:, :1, :1, :1], 2 * threat.epsilon)
        self.last_B = torch.zeros_like(loss_B)  # the authors' first comparison is with 0, not with the start's loss
        self.num_rises_B = torch.zeros_like(loss_B)
        self.best_at_check_B = loss_B
        self.was_halved_B = torch.ones_like(loss_B, dtype=torch.bool)

    def run(self, num_steps: int) -> Tensor:
        """For each image, the last misclassified image that the search met; the start where it met none."""
        window, since = max(int(FIRST_WINDOW * num_steps), 1), 0
        for step in range(num_steps):
            self._move(fresh_share=FRESH_SHARE if step > 0 else 1.0)
            self._remember()
            since += 1
            if since == window:
                self._adapt(window)
                smaller = window - max(int(SHRINKING * num_steps), 1)
                window, since = max(smaller, int(SMALLEST_WINDOW * num_steps), 1), 0
        return self.fooling_BCHW

    def _move(self, *, fresh_share: float) -> None:
        current_BCHW, momentum_BCHW = self.current_BCHW, self.current_BCHW - self.previous_BCHW
        ahead_BCHW = self._projected(current_BCHW + self.step_B111 * self._direction())
        mixed_BCHW = current_BCHW + (ahead_BCHW - current_BCHW) * fresh_share + momentum_BCHW * (1 - fresh_share)
        self.previous_BCHW, self.current_BCHW = current_BCHW, self._projected(mixed_BCHW)

    def _remember(self) -> None:
        self.gradient_BCHW, loss_B, is_fooled_B = self._evaluated(self.current_BCHW)
        self.fooling_BCHW = _chosen(is_fooled_B, self.current_BCHW, self.fooling_BCHW)
        self.num_rises_B = self.num_rises_B + (loss_B > self.last_B)
        self.last_B = loss_B
        is_best_B = loss_B > self.best_B
        self.best_BCHW = _chosen(is_best_B, self.current_BCHW, self.best_BCHW)
        self.best_gradient_BCHW = _chosen(is_best_B, self.gradient_BCHW, self.best_gradient_BCHW)
        self.best_B = torch.where(is_best_B, loss_B, self.best_B)

    def _adapt(self, window: int) -> None:
        """Halves the step and returns to the best image if condition 1 or 2 of the paper holds.

        Condition 1: too few steps of the window raised the loss. Condition 2: the step was kept at the last check, and
        the best loss has not risen since.
        """
        is_oscillating_B = self.num_rises_B <= RISING_SHARE * window
        is_stuck_B = ~self.was_halved_B & (self.best_at_check_B >= self.best_B)
        is_halved_B = is_oscillating_B | is_stuck_B
        self.step_B111 = torch.where(is_halved_B.view(-1, 1, 1, 1), self.step_B111 / 2, self.step_B111)
        self.current_BCHW = _chosen(is_halved_B, self.best_BCHW, self.current_BCHW)
        self.gradient_BCHW = _chosen(is_halved_B, self.best_gradient_BCHW, self.gradient_BCHW)
        self.was_halved_B, self.best_at_check_B = is_halved_B, self.best_B
        self.num_rises_B = torch.zeros_like(self.num_rises_B)

    def _evaluated(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(gradient_BCHW, loss_B, is_fooled_B)` of the images."""
        with torch.enable_grad():
            leaf_BCHW = x_BCHW.detach().requires_grad_()
            logits_BK = self.target(leaf_BCHW)
            loss_B = find_loss(self.loss, num_classes=logits_BK.shape[1])(logits_BK, self.labels_B)
            (gradient_BCHW,) = torch.autograd.grad(loss_B.sum(), leaf_BCHW)
        return gradient_BCHW, loss_B.detach(), logits_BK.detach().argmax(dim=1) != self.labels_B

    def _direction(self) -> Tensor:
        """`ThreatModel.steepest` in the authors' order of operations, except where squares underflow."""
        steepest_BCHW = self.threat.steepest(self.gradient_BCHW)
        if self.threat.norm == "linf":
            return steepest_BCHW
        norm_B111 = plain_l2_norm(self.gradient_BCHW)
        return torch.where(norm_B111 > SOUND_NORM, self.gradient_BCHW / (norm_B111 + NORM_EPS), steepest_BCHW)

    def _projected(self, x_BCHW: Tensor) -> Tensor:
        """`ThreatModel.project` in the authors' order of operations."""
        epsilon, center_BCHW = self.threat.epsilon, self.center_BCHW
        if self.threat.norm == "linf":
            return torch.minimum(torch.maximum(x_BCHW, center_BCHW - epsilon), center_BCHW + epsilon).clamp(0.0, 1.0)
        change_BCHW = x_BCHW - center_BCHW
        norm_B111 = plain_l2_norm(change_BCHW)
        return (center_BCHW + change_BCHW / (norm_B111 + NORM_EPS) * norm_B111.clamp(max=epsilon)).clamp(0.0, 1.0)


def _chosen(is_chosen_B: Tensor, x_BCHW: Tensor, otherwise_BCHW: Tensor) -> Tensor:
    return torch.where(is_chosen_B.view(-1, 1, 1, 1), x_BCHW, otherwise_BCHW)
