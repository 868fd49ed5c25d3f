"""The table of receipt codes that were told to somebody."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from counterfoil.store.schema import Id, Nanoseconds, metadata

receipt_codes = Table(
    "receipt_codes",
    metadata,
    Column("payment", Id, primary_key=True),
    Column("account", Id, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("told_at", Nanoseconds, nullable=False),
    Index("ix_receipt_codes_value", "value"),
)
"""`value`: the code as a number. Two payments may have the same (at a thousand million codes some fourteen pairs do)."""
