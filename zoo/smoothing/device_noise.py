"""Counter-based Gaussian noise drawn on the network's device, so that no noise is copied from host to device.

The generator is Philox-4x32-10 (Salmon et al., SC 2011) in integer tensor operations, followed by the Box-Muller
transform. The counter consists of the pixel's block, the draw's index with its phase, and the job; the key is the root.
The noise of a draw is therefore the same in every batch, as on the host. The device's stream differs from the host's:
a certification that starts on one of them must continue there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import ref

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.smoothing.noise import Draws, Pixels, at_least

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF
WORDS_PER_BLOCK = 4
PHASE_BIT = 31
WORDS_OF_NAME = 5
WORDS_OF_DRAW = WORDS_OF_NAME + 2  # and the position of the draw's image, and sigma
BYTES_OF_IMAGES = 2**28
NUM_IMAGES = 256  # each adds several microseconds of the host to a call with new images

Words = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class DeviceDraws:
    """M draws on a device. The images stand once each in `images_NCHW`; every other tensor has a row per draw.

    `words_M5`: int64 with 32 bits in use, the words that identify each draw: its index with its phase, the low and
    the high half of the job, and the low and the high half of the root. `position_M`: the row of each draw's image,
    int64. `sigma_M`: float32.
    """

    images_NCHW: Tensor
    words_M5: Tensor
    position_M: Tensor
    sigma_M: Tensor

    def __len__(self) -> int:
        return len(self.words_M5)

    def part(self, first: int, last: int) -> DeviceDraws:
        """The draws from row `first` up to, without, row `last`."""
        rows = slice(first, last)
        return DeviceDraws(self.images_NCHW, self.words_M5[rows], self.position_M[rows], self.sigma_M[rows])


class DeviceMemory:
    """Moves draws to a device with one copy per call, and keeps their images there as long as their jobs hold them.

    The image of an open job is copied once, also if some calls do not draw for it. At most `NUM_IMAGES` images and
    `BYTES_OF_IMAGES` are kept, or those of one call if they are more.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._images: list[ref[Pixels]] = []
        self._images_NCHW: Tensor | None = None

    def moved(self, draws: Sequence[Draws]) -> DeviceDraws:
        """The draws on the device. All images must have the same shape."""
        images = {id(each.x_CHW): each.x_CHW for each in draws}
        kept = [held() for held in self._images]
        row_before = {id(x_CHW): row for row, x_CHW in enumerate(kept) if x_CHW is not None}
        added = [x_CHW for key, x_CHW in images.items() if key not in row_before]
        order = [*_with_room_for(images, kept), *images.values()]
        position = {id(x_CHW): row for row, x_CHW in enumerate(order)} if added else row_before
        words_M7 = np.concatenate([words_of(each, position[id(each.x_CHW)]) for each in draws])
        sent = self._sent(np.concatenate([words_M7.ravel(), *(_bits(x_CHW) for x_CHW in added)]))
        if added:
            added_NCHW = sent[words_M7.size :].view(torch.float32).view(-1, *added[0].shape)
            on_device = {id(x_CHW): moved_CHW for x_CHW, moved_CHW in zip(added, added_NCHW, strict=True)}
            if self._images_NCHW is not None:
                on_device |= {key: self._images_NCHW[row] for key, row in row_before.items()}
            images_NCHW = torch.stack([on_device[id(x_CHW)] for x_CHW in order])
            # Together, at the end: after an interruption in between, draws would get each other's images.
            self._images, self._images_NCHW = [ref(x_CHW) for x_CHW in order], images_NCHW
        assert self._images_NCHW is not None
        sent_M7 = sent[: words_M7.size].view(-1, WORDS_OF_DRAW)
        return DeviceDraws(
            self._images_NCHW,
            words_M5=sent_M7[:, :WORDS_OF_NAME].to(torch.int64) & LOW,
            position_M=sent_M7[:, WORDS_OF_NAME].to(torch.int64),
            sigma_M=sent_M7[:, WORDS_OF_NAME + 1].contiguous().view(torch.float32),
        )

    def forget(self) -> None:
        """Frees the images."""
        self._images, self._images_NCHW = [], None

    def _sent(self, words: Words) -> Tensor:
        """The words on the device. The host does not wait for the copy."""
        values = torch.from_numpy(words)
        if self._device.type == "cuda" and torch.cuda.is_available():
            values = values.pin_memory()
        return values.to(self._device, non_blocking=True)


def _with_room_for(images: Mapping[int, Pixels], kept: Sequence[Pixels | None]) -> list[Pixels]:
    """The kept images that stay next to those of a call, which `images` has by identity: the last ones that fit."""
    first = next(iter(images.values()))
    others = [x_CHW for x_CHW in kept if x_CHW is not None and x_CHW.shape == first.shape and id(x_CHW) not in images]
    num = max(0, min(NUM_IMAGES, BYTES_OF_IMAGES // first.nbytes) - len(images))
    return others[max(0, len(others) - num) :]


def words_of(draws: Draws, position: int) -> Words:
    """`words_M7`, a row per draw: the words that identify it, the position of its image, and the bits of sigma."""
    words_M7 = np.empty((draws.num, WORDS_OF_DRAW), dtype=np.uint32)
    words_M7[:, 0] = np.arange(draws.start, draws.start + draws.num) | draws.phase << PHASE_BIT
    words_M7[:, 1:WORDS_OF_NAME] = (*_halves(draws.key.job), *_halves(draws.key.root))
    words_M7[:, WORDS_OF_NAME] = position
    words_M7[:, WORDS_OF_NAME + 1] = at_least(draws.sigma).view(np.uint32)
    return words_M7.view(np.int32)


def noisy_by_operations(draws: DeviceDraws) -> Tensor:
    """The noisy copies `x_MCHW`, float32 on the device, by tensor operations: each draw's image plus Gaussian noise.

    A copy does not depend on the other copies of its batch.
    """
    x_MCHW = draws.images_NCHW[draws.position_M]
    noise_MD = normal_numbers(draws.words_M5, x_MCHW[0].numel())
    return x_MCHW + draws.sigma_M.view(-1, 1, 1, 1) * noise_MD.view_as(x_MCHW)


def normal_numbers(words_M5: Tensor, num_values: int) -> Tensor:
    """Independent standard normal numbers of the draws `words_M5`: `(M, num_values)`, float32 on their device."""
    num_blocks = -(-num_values // WORDS_PER_BLOCK)
    index_M1, job_low_M1, job_high_M1, key_low_M1, key_high_M1 = words_M5.T.unsqueeze(-1)
    block_1N = torch.arange(num_blocks, device=words_M5.device).unsqueeze(0)
    counter = (block_1N, index_M1, job_low_M1, job_high_M1)
    first, second, third, fourth = philox_4x32(counter, (key_low_M1, key_high_M1))
    normal_MN4 = torch.stack([*_box_muller(first, second), *_box_muller(third, fourth)], dim=-1)
    return normal_MN4.flatten(1)[:, :num_values]


def philox_4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Four pseudo-random 32-bit words per counter, as int64 tensors; counters and keys are broadcast.

    Source: Salmon et al. 2011, section 3.3, with ten rounds; tested against the authors' known answers.
    """
    first, second, third, fourth = counter
    key_low, key_high = key
    for _ in range(ROUNDS):
        # A product of two 32-bit words wraps around in int64; its bit pattern is still that of the 64-bit product.
        product_1, product_3 = first * MULTIPLIERS[0], third * MULTIPLIERS[1]
        first, second, third, fourth = (
            (product_3 >> 32 & LOW) ^ second ^ key_low,
            product_3 & LOW,
            (product_1 >> 32 & LOW) ^ fourth ^ key_high,
            product_1 & LOW,
        )
        key_low, key_high = key_low + WEYL[0] & LOW, key_high + WEYL[1] & LOW
    return first, second, third, fourth


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of independent standard normal numbers, one pair of numbers per pair of 32-bit words."""
    uniform = (first.to(torch.float32) + 0.5) * 2**-32
    radius = torch.sqrt(-2 * torch.log(uniform.clamp(max=1.0)))
    angle = second.to(torch.float32) * (2 * math.pi * 2**-32)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _halves(word: int) -> tuple[int, int]:
    """The low and the high 32 bits of a 64-bit word."""
    return word & LOW, word >> 32


def _bits(x_CHW: Pixels) -> Words:
    """The pixels' bits, in a row."""
    return np.ascontiguousarray(x_CHW, dtype=np.float32).view(np.int32).ravel()
