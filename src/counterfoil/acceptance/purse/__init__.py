"""Offline purse: a card that pays where there is no network, what a terminal decides about it, and proof when a card spends twice."""
