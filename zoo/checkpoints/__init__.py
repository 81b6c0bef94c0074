"""A checkpoint directory: read, written, signed, copied."""
