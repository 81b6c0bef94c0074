"""Downloads over HTTP with retries, and the cache directory."""
