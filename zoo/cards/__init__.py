"""Measured results -> model card. What was not measured is said to be not measured."""

from zoo.cards.card import render_card
from zoo.cards.metadata import card_metadata

__all__ = ["card_metadata", "render_card"]
