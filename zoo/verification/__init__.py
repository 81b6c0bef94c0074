"""Is a checkpoint whole, and does its card say what its own files bear out?"""

from zoo.verification.check import Check
from zoo.verification.verification import Verification, verify

__all__ = ["Check", "Verification", "verify"]
