"""Trained entries of our own, each rebuilt by one command: python -m examples.entries NAME --output DIR."""
