"""An observer that writes down what it is told."""

from dataclasses import asdict


class Journal:
    def __init__(self):
        self.entries = []

    def of(self, kind):
        """What was told of this kind, in its order."""
        return [told for each, told in self.entries if each == kind]

    def answered(self, answered):
        self.entries.append(("answered", asdict(answered)))

    def __getattr__(self, kind):
        return lambda **told: self.entries.append((kind, told))
