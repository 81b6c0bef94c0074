"""Is a checkpoint whole, and does its card say what its own files bear out?"""

from zoo.verification.integrity import Check
from zoo.verification.verification import Verification, verify

__all__ = ["Check", "Verification", "verify"]
