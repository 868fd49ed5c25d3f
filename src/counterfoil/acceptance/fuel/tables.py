"""The tables of fuel stations. What was held and taken for a fill is not in them: its sale is asked."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

pumps = Table(
    "pumps",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("products", Text, nullable=False),
    Column("full_tank", Amount, nullable=False),
    Column("changed_at", Nanoseconds, nullable=False),
    CheckConstraint("number > 0", name="number_positive"),
    CheckConstraint("full_tank > 0", name="full_tank_positive"),
    Index("ix_pumps_number", "account", "number", unique=True),
)
"""`products`: names and prices per litre. `full_tank`: what is set aside for whoever names no amount."""

fills = Table(
    "fills",
    metadata,
    Column("id", Id, primary_key=True),
    Column("pump", Id, ForeignKey("pumps.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("product", Text, nullable=False),
    Column("price", Amount, nullable=False),
    Column("amount_max", Amount, nullable=False),
    Column("totaliser", BigInteger, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("state", String(10), nullable=False),
    Column("millilitres", Integer, nullable=False),
    Column("asked_at", Nanoseconds, nullable=False),
    Column("until", Nanoseconds, nullable=True),
    Column("ended_at", Nanoseconds, nullable=True),
    Column("rest", Id, nullable=True),
    CheckConstraint("state IN ('idle', 'authorised', 'dispensing', 'timed_out', 'done', 'aborted')", name="state_known"),
    CheckConstraint("(ended_at IS NULL) = (state NOT IN ('done', 'aborted'))", name="ended_when_over"),
    CheckConstraint("millilitres >= 0", name="millilitres_not_negative"),
    Index("ix_fills_account", "account", "id"),
)
"""The id is made at the station, and is also that of the sale that sets `amount_max` aside. Pump's number, product and price are
those that it was asked for under. `totaliser`: before, in millilitres. `until`: the pump may run until then.
`rest`: the sale that asks for what could not be taken, once somebody has asked."""

is_open = fills.c.ended_at.is_(None)
"""Of a fill that may still run, or of which it is not known what ran."""

Index("ix_fills_open", fills.c.pump, unique=True, sqlite_where=is_open, postgresql_where=is_open)
