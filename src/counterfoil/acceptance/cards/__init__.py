"""Cards that are tapped: what they say, whose they are, and how one is made."""
