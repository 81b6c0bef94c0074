"""Resolves MODEL, as every command takes it, to a local checkpoint, its network, and a backend that computes it."""
