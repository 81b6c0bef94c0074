"""Renders model cards from measured results. A card states explicitly what was not measured."""

from zoo.cards.card import render_card
from zoo.cards.metadata import card_metadata

__all__ = ["card_metadata", "render_card"]
