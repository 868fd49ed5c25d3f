"""Car parks: what a stay costs, who is inside, and when the barrier may open."""
