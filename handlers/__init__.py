"""The handler that TorchServe loads. It only decodes, runs one engine step and encodes."""
