"""Stopping rules: when to stop drawing, and which radius the counts prove.

FixedSample   exactly n draws and one look
AtRadius      draws until a test of one radius is decided
Anytime       draws until further draws could add little to the radius
"""

from zoo.smoothing.stopping.anytime import Anytime
from zoo.smoothing.stopping.at_radius import AtRadius
from zoo.smoothing.stopping.fixed_sample import CLOPPER_PEARSON, SIMULTANEOUS, Bound, FixedSample
from zoo.smoothing.stopping.rule import DEFAULT_MAX_N, Proof, StoppingRule, Tally

__all__ = [
    "CLOPPER_PEARSON",
    "DEFAULT_MAX_N",
    "SIMULTANEOUS",
    "Anytime",
    "AtRadius",
    "Bound",
    "FixedSample",
    "Proof",
    "StoppingRule",
    "Tally",
]
