"""A day of a car park, a fuel station and a department store, on a network and on power that fail at random. See `__main__` for all of it."""
