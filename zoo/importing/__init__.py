"""Foreign checkpoints -> ours: which files are known, what they must hold, and what has to be stated beside them."""
