"""Stopping rules: when to stop drawing, and which radius the counts prove.

FixedSample   exactly n draws and one look
AtRadius      draws until a test of one radius is decided
Anytime       draws until further draws could add little to the radius
"""

from zoo.smoothing.stopping.anytime import Anytime
from zoo.smoothing.stopping.at_radius import AtRadius
from zoo.smoothing.stopping.fixed_sample import CLOPPER_PEARSON, SIMULTANEOUS, FixedSample
from zoo.smoothing.stopping.rule import DEFAULT_MAX_N, DEFAULT_N0, Look, Proof, StoppingRule, Tallies, Tally

__all__ = [
    "CLOPPER_PEARSON",
    "DEFAULT_MAX_N",
    "DEFAULT_N0",
    "SIMULTANEOUS",
    "Anytime",
    "AtRadius",
    "FixedSample",
    "Look",
    "Proof",
    "StoppingRule",
    "Tallies",
    "Tally",
]
