"""`zoo archive | serve | predict | health | models`: one module per command, which imports slow modules lazily."""
