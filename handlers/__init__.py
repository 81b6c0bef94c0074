"""What TorchServe loads: decode, one engine step, encode. Nothing else."""
