"""Text messages out and in: what is said in which language, how long it may be, and the gateways that carry it."""
