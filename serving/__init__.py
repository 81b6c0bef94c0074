"""The certified-inference server of a checkpoint, its client, and the commands that run both."""
