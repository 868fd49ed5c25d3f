"""The tables of cards. Whether a tap has paid is not in them: payments and the ledger are asked."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

cards = Table(
    "cards",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", LargeBinary(7), nullable=False),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("state", String(6), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("added_at", Nanoseconds, nullable=False),
    Column("used_at", Nanoseconds, nullable=False),
    CheckConstraint("state IN ('active', 'locked', 'ended')", name="state_known"),
    CheckConstraint("counter > 0", name="counter_positive"),
    Index("ix_cards_uid", "uid", unique=True),
    Index("ix_cards_account", "account"),
)
"""`counter`: of the newest tap that was taken; it only grows. `used_at`: when that was."""

card_taps = Table(
    "card_taps",
    metadata,
    Column("id", Id, primary_key=True),
    Column("card", Id, ForeignKey("cards.id"), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("sale", Id, ForeignKey("sales.id"), nullable=False),
    Column("fee", Amount, nullable=False),
    Column("rules_hash", LargeBinary(32), nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("challenge", LargeBinary(16), nullable=False),
    Column("proved_at", Nanoseconds, nullable=True),
    Index("ix_card_taps_card", "card", "counter", unique=True),
    Index("ix_card_taps_sale", "sale"),
)
"""A tap for a sale: the id is that of the order, if the payer agrees; `fee` and rules are what it was shown with.

`challenge`: what the card has to answer to prove that it is here; `proved_at`: when it had.
"""
