"""Baskets that several people or means pay together."""
