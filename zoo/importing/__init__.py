"""Import of foreign checkpoints: the known file formats, the checks, and the options that complete a file."""
