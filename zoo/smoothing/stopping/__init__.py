"""Stopping rules: when to stop drawing, and which radius the counts prove.

FixedSample   exactly n draws and one look
AtRadius      draws until a test of one radius is decided
Anytime       draws until further draws could add little to the radius
"""

from zoo.smoothing.stopping.anytime import LAST_SHARE, STEP, Anytime, proved_by_sequence
from zoo.smoothing.stopping.at_radius import AtRadius
from zoo.smoothing.stopping.fixed_sample import CLOPPER_PEARSON, SIMULTANEOUS, Bound, FixedSample
from zoo.smoothing.stopping.rule import (
    DEFAULT_MAX_N,
    DEFAULT_N0,
    TANGENT_BETS,
    Look,
    Proof,
    StoppingRule,
    Tallies,
    Tally,
)

__all__ = [
    "CLOPPER_PEARSON",
    "DEFAULT_MAX_N",
    "DEFAULT_N0",
    "LAST_SHARE",
    "SIMULTANEOUS",
    "STEP",
    "TANGENT_BETS",
    "Anytime",
    "AtRadius",
    "Bound",
    "FixedSample",
    "Look",
    "Proof",
    "StoppingRule",
    "Tallies",
    "Tally",
    "proved_by_sequence",
]
