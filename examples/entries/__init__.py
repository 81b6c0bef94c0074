"""Our own trained entries, each rebuilt by one command: python -m examples.entries NAME --output DIR."""
