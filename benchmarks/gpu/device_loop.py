"""A loop that keeps draws, noise, network and counts on the device: the fastest known path, not part of the product.

One step creates the noise with the fused kernel, in bfloat16 and channels last, runs the network in bfloat16, counts
the classes, and advances to the next draws. A CUDA graph makes the step one launch. Nothing is copied to the host
before the end.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.gpu.networks import NUM_CLASSES, device_draws, draws_of, normalization, picture
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import seconds
from zoo.models.architecture import NormalizedNetwork
from zoo.smoothing.backends import fused

NUM_WARM_UPS = 3


class DeviceLoop:
    """Counts the classes of consecutive draws of one image, `batch_size` draws per step."""

    def __init__(self, backbone: Callable[[Tensor], Tensor], settings: Settings, *, batch_size: int) -> None:
        """`backbone` takes normalized pixels in bfloat16."""
        self.backbone = backbone
        self.settings, self.batch_size = settings, batch_size
        self.draws = device_draws(settings.device, draws_of(picture(0, settings), batch_size))
        self.first_words_M5 = self.draws.words_M5.clone()
        self.mean_C, self.std_C = normalization(settings)
        self.counts_K = torch.zeros(NUM_CLASSES, dtype=torch.int64, device=settings.device)
        self.num_not_finite = torch.zeros((), dtype=torch.int64, device=settings.device)
        self.ones_B = torch.ones(batch_size, dtype=torch.int64, device=settings.device)
        self.run_step: Callable[[], None] = self.step

    def step(self) -> None:
        """Classifies and counts one batch of draws."""
        logits_BK = self.logits()
        self.num_not_finite += (~logits_BK.isfinite()).sum()
        self.counts_K.index_add_(0, logits_BK.argmax(dim=1), self.ones_B)
        self.draws.words_M5[:, 0] += self.batch_size

    def logits(self) -> Tensor:
        """The logits `logits_BK` of the next batch of draws."""
        from zoo.smoothing.fused_noise import normalized_noisy_images

        x_BCHW = normalized_noisy_images(self.draws, self.mean_C, self.std_C, torch.bfloat16)
        return self.backbone(x_BCHW).float()

    def capture(self) -> None:
        """Captures the step as a CUDA graph, after which each step is one launch.

        Raises: AssertionError if the graph's counts differ from those of the steps.
        """
        with torch.inference_mode():
            expected_K = self.count(3)
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(NUM_WARM_UPS):
                    self.step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step()
        self.run_step = graph.replay
        require(torch.equal(self.count(3), expected_K), "the CUDA graph's class counts differ from those of its steps")

    def count(self, num_steps: int) -> Tensor:
        """The class counts `counts_K` of the first `num_steps` batches of draws, on the CPU."""
        with torch.inference_mode():
            self.draws.words_M5.copy_(self.first_words_M5)
            self.counts_K.zero_()
            self.num_not_finite.zero_()
            for _ in range(num_steps):
                self.run_step()
            counts_K = self.counts_K.cpu()
        require(int(self.num_not_finite) == 0, "a logit is not finite")
        require(int(counts_K.sum()) == num_steps * self.batch_size, f"{int(counts_K.sum())} draws counted")
        return counts_K

    def rate(self, num: int) -> float:
        """The draws per second over about `num` draws."""
        num_steps = max(1, num // self.batch_size)
        return num_steps * self.batch_size / seconds(lambda: self.count(num_steps), self.settings)


def bfloat16_backbone(network: NormalizedNetwork, settings: Settings) -> nn.Module:
    """The network without its normalization layer, batch normalization folded, in bfloat16 and channels last."""
    backbone = fused(network.backbone).to(settings.device, torch.bfloat16)
    return backbone.to(memory_format=torch.channels_last).eval()
