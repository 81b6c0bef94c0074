"""How good is a checkpoint: what an attack or a noise sees, and what a certificate guarantees."""
