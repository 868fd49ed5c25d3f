"""`counterfoil demo`: a small town with its own scheme, the same each time, that keeps trading."""
