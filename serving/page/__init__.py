"""A web page to try a served model: static files, and a small server that serves them and relays requests."""
