"""The tables of baskets. What was paid and given back is not in them: the sales of their parts are asked."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

baskets = Table(
    "baskets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=False),
    Column("lines", Text, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("given_up_by", Id, nullable=True),
    Column("given_up_clerk", Id, ForeignKey("clerks.id"), nullable=True),
    Column("given_up_till", Id, ForeignKey("tills.id"), nullable=True),
    Column("unfinished", Boolean, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_baskets_account", "account", "id"),
)
"""`given_up_by`: the giving back that ended it before it was paid whole; no part is asked for from then on.

`unfinished`: something goes back that was begun, and whose end is not known."""

unfinished = baskets.c.unfinished
Index("ix_baskets_unfinished", baskets.c.id, sqlite_where=unfinished, postgresql_where=unfinished)

basket_parts = Table(
    "basket_parts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("basket", Id, ForeignKey("baskets.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("said", Amount, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("asked_at", Nanoseconds, nullable=False),
    Column("ended", String(9), nullable=True),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("said = 0 OR said = amount", name="amount_as_said"),
    CheckConstraint("ended IN ('cancelled', 'expired')", name="ended_known"),
    Index("ix_basket_parts_basket", "basket", "number", unique=True),
)
"""The id of a part is that of the sale that asks for it. `said`: the amount that the clerk named; 0 for a share of what was left.

`ended`: nobody has paid it, and nobody can any more. The parts of a basket that have not ended never exceed it."""

basket_refunds = Table(
    "basket_refunds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("basket", Id, ForeignKey("baskets.id"), nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("memo", Text, nullable=False),
    Column("lines", Text, nullable=True),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("begun_at", Nanoseconds, nullable=False),
    Index("ix_basket_refunds_basket", "basket"),
)
"""A giving back, written with all its legs before the first of them is carried out. `lines`: what went back of which line."""

basket_legs = Table(
    "basket_legs",
    metadata,
    Column("payment", Id, primary_key=True),
    Column("refund", Id, ForeignKey("basket_refunds.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("part", Id, ForeignKey("basket_parts.id"), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("refusal", String(40), nullable=True),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_basket_legs_refund", "refund", "number", unique=True),
)
"""What goes back to whoever paid a part. `refusal`: the code of what refused it for good; it is never tried again."""
