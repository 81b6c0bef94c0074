"""`zoo archive | serve | predict | health | models`: a module a command; what computes is imported inside it."""
