"""The definition of a model: its specification, architecture, input, and the files of its checkpoint."""
