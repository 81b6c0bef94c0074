"""The inference service: requests of every protocol in, engine steps, replies out; no server in it."""
