"""The handler that TorchServe loads. It only decodes, runs engine steps and encodes."""
