"""`zoo archive | serve | predict`: a module a command; what computes is imported inside it."""
