"""Verification that a checkpoint is complete and that its files confirm the numbers on its card."""

from zoo.verification.integrity import Check
from zoo.verification.verification import Verification, verify

__all__ = ["Check", "Verification", "verify"]
