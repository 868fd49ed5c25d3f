"""The table of the feed's durable consumers: how far each has read."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from counterfoil.store.schema import Nanoseconds, metadata

feed_positions = Table(
    "feed_positions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("timestamp", Nanoseconds, nullable=False),
)
"""Ledger time up to which a follower has done its work. Moves in the same transaction as what the follower wrote."""
