"""Named random streams from one root seed.

Every use of randomness in a run has its own generator, derived from the seed, the name of the use and its position
(epoch, step, image). A run can therefore be resumed at the start of an epoch without saved generator states, and no
stream depends on the length of another. The random numbers of an image depend on the image and not on the rest of its
batch: a batch that is split over processes gets the same numbers as the undivided batch.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zoo.smoothing.device_noise import LOW, WORDS_OF_NAME, DeviceDraws
from zoo.smoothing.noisy_batch import noisy_batch


def derived_seed(root: int, *names: str | int) -> int:
    """A 63-bit seed for the stream with these names (torch's CPU generator uses its low 32 bits)."""
    text = json.dumps([root, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(root: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for the stream with these names."""
    return torch.Generator(device=device).manual_seed(derived_seed(root, *names))


def normal_per_image(like_BCHW: Tensor, numbers_B: Tensor, generator: torch.Generator) -> Tensor:
    """`N(0, I)` noise with the shape, dtype and device of `like_BCHW`.

    Row b is a function of its image's number `numbers_B[b]` and of one draw from `generator`, which is on the CPU and
    yields only that draw. On CUDA, the numbers are those of `zoo.smoothing.device_noise`, all rows in one launch.
    """
    if like_BCHW.device.type == "cuda":
        return _normal_on_device(like_BCHW, numbers_B, _root(generator))
    noise_BCHW = torch.empty(like_BCHW.shape, dtype=like_BCHW.dtype, device=like_BCHW.device)
    for row_CHW, own in zip(noise_BCHW, _streams_per_image(numbers_B, generator, like_BCHW.device), strict=True):
        row_CHW.normal_(generator=own)
    return noise_BCHW


def _root(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))


def _normal_on_device(like_BCHW: Tensor, numbers_B: Tensor, root: int) -> Tensor:
    """Noise keyed by `root` and the images' numbers: sigma 1 around an image of zeros."""
    num, device = len(numbers_B), like_BCHW.device
    if num == 0:
        return torch.empty_like(like_BCHW)
    words_B5 = torch.zeros(num, WORDS_OF_NAME, dtype=torch.int64)
    words_B5[:, 1], words_B5[:, 2] = numbers_B & LOW, numbers_B >> 32
    words_B5[:, 3], words_B5[:, 4] = root & LOW, root >> 32
    draws = DeviceDraws(
        images_NCHW=torch.zeros(1, *like_BCHW.shape[1:], device=device),
        words_M5=words_B5.to(device),
        position_M=torch.zeros(num, dtype=torch.int64, device=device),
        sigma_M=torch.ones(num, device=device),
    )
    return noisy_batch(draws).to(like_BCHW.dtype)


def uniform_per_image(numbers_B: Tensor, generator: torch.Generator, *, device: torch.device) -> Tensor:
    """One number in [0, 1) per image, float32 on `device`; keyed by image as in `normal_per_image`."""
    streams = _streams_per_image(numbers_B, generator, torch.device("cpu"))
    return torch.cat([torch.rand(1, generator=own) for own in streams]).to(device)


def _streams_per_image(
    numbers_B: Tensor, generator: torch.Generator, device: torch.device
) -> Iterator[torch.Generator]:
    root = _root(generator)
    own = torch.Generator(device=device)
    for number in numbers_B.tolist():
        yield own.manual_seed(derived_seed(root, number))


@contextmanager
def global_stream(root: int, *names: str | int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Replaces torch's global generators of the CPU and of `device` with this stream inside the context.

    It is for libraries and layers that take no generator, such as dropout.
    """
    device, seed = torch.device(device), derived_seed(root, *names)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # torch.manual_seed would also seed CUDA, which formats a stack trace per call while CUDA is not initialized.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
