"""MODEL, as every command takes it -> a checkpoint on this machine, its network, and what computes it."""
