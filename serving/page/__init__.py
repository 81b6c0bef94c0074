"""A page to try a served model: static files, and the small server that shows them and relays to the model."""
