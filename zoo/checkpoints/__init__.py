"""Reads, writes, signs and copies checkpoint directories."""
