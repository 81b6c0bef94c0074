"""Evaluates checkpoints: accuracy, accuracy under noise and under attack, and certificates."""
