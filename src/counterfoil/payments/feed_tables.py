"""The tables of the feed's followers: how far each has read, and the expiries that an account's history does not list."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, String, Table

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

feed_positions = Table(
    "feed_positions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("timestamp", Nanoseconds, nullable=False),
)
"""Ledger time up to which a follower has done its work. Moves in the same transaction as what the follower wrote."""

hold_expiries = Table(
    "hold_expiries",
    metadata,
    Column("account", Id, primary_key=True),
    Column("timestamp", Nanoseconds, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("payment", Id, nullable=False),
    Column("transfer", Id, nullable=False),
    Column("counterparty", Id, nullable=False),
    Column("outgoing", Boolean, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("balance", Amount, nullable=False),
    Column("available", Amount, nullable=False),
    CheckConstraint("available <= balance", name="available_within_balance"),
)
"""Holds that ran out, by account. The ledger releases them without a transfer, so only its feed tells of them. Derived:
emptied together with the position "expiries", it is built anew from the feed."""
