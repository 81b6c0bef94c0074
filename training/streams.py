"""Named random streams from one root seed.

Every use of randomness in a run has its own generator, derived from the seed, the use's name and its position (epoch,
image). Nothing has to be saved for a run to be resumed at an epoch's start, and no stream depends on another's length.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(root: int, *names: str | int) -> int:
    """A 63-bit seed for the stream with these names (torch's CPU generator uses its low 32 bits)."""
    text = json.dumps([root, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(root: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for the stream with these names."""
    return torch.Generator(device=device).manual_seed(derived_seed(root, *names))


@contextmanager
def global_cpu_stream(root: int, *names: str | int) -> Iterator[None]:
    """Makes torch's global CPU generator this stream inside, for libraries that take no generator; then restores it."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it also seeds CUDA, which formats a stack trace a call while CUDA is not initialized.
        torch.default_generator.manual_seed(derived_seed(root, *names))
        yield
