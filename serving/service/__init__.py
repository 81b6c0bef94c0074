"""The inference service: turns requests of every protocol into engine steps and replies, without an HTTP server."""
