"""Files from the network: over HTTP, with retries, into the cache."""
