"""What `python -m scripts.screenshots` is made of: a town that is served, albums, and the walks through every page."""
