"""Exports a checkpoint to ONNX, specializes it, compares it with PyTorch, and caches the result between starts."""
