"""Who takes part: customers, merchants, agents, institutions and staff; their keys, PINs, tiers and limits."""
