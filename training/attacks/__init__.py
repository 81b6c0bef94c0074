"""Attacks, which search for a change that a threat model allows: one attack per file."""

from training.attacks.apgd import apgd
from training.attacks.ddn import ddn
from training.attacks.pgd import pgd
from training.attacks.target import under_attack

__all__ = ["apgd", "ddn", "pgd", "under_attack"]
