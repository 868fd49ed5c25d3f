"""The tables of texts that come in: that there was one, never what it said; and what waits for the sender's code and PIN."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, String, Table

from counterfoil.store.schema import Id, Nanoseconds, metadata

received = Table(
    "sms_received",
    metadata,
    Column("id", Id, primary_key=True),
    Column("gateway", String(32), nullable=False),
    Column("reference", String(128), nullable=True),
    Column("number", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("received_at", Nanoseconds, nullable=False),
    Column("done_at", Nanoseconds, nullable=True),
    Index("ix_sms_received_reference", "gateway", "reference", unique=True),
    Index("ix_sms_received_number", "number", "received_at"),
    Index("ix_sms_received_at", "received_at"),
)
"""`reference` NULL where the gateway has none. `kind`: the action that was asked for, "problem" where it could not be done,
"silent" where nothing was answered. Without `done_at` it was begun and broken off: its repeat goes on."""

drafts = Table(
    "sms_drafts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("number", String(16), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("code", String(4), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("outcome", String(8), nullable=False),
    CheckConstraint("kind IN ('pay', 'ask', 'join', 'pin', 'unlock', 'watch')", name="kind_known"),
    CheckConstraint("outcome IN ('open', 'right', 'wrong', 'replaced')", name="outcome_known"),
    Index("ix_sms_drafts_number", "number", "created_at"),
)
"""`body`: the order, the request (`payments.forms`), the name of somebody new or what is wanted of a watcher, exactly as it is to be
carried out; of a new PIN when the old one was set, and never a PIN. `code`: what the sender is to text back with the PIN. `outcome`:
right and wrong say what became of the one try."""
