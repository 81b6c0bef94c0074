"""What a model is: its specification, its architecture, its input, and the files of its checkpoint."""
