"""Noise keys: fresh from the operating system, or drawn from a seeded generator."""

from __future__ import annotations

import secrets

import torch

from zoo.errors import CertificationError
from zoo.smoothing.noise import NoiseKey


def fresh_key() -> NoiseKey:
    """A 128-bit key from the operating system's random source. Predictable noise would void the guarantee."""
    return NoiseKey(root=secrets.randbits(64), job=secrets.randbits(64))


def root_key(generator: torch.Generator) -> NoiseKey:
    """A key whose 64-bit root is drawn from the generator; each call draws a new root.

    Raises: CertificationError if `generator` is not a torch.Generator.
    """
    if not isinstance(generator, torch.Generator):
        raise CertificationError(
            f"generator must be a torch.Generator, such as torch.Generator().manual_seed(0), got {generator!r}"
        )
    words = torch.randint(0, 2**32, (2,), generator=generator, device=generator.device).tolist()
    return NoiseKey(root=words[0] << 32 | words[1], job=0)
