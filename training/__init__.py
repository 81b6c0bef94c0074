"""Training, evaluation and certification of robust image classifiers."""
