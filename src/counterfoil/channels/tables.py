"""The tables of webhooks: who wants to hear what, what is still to be delivered, and what became of each attempt."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Table, Text

from counterfoil.store.schema import Id, Nanoseconds, metadata

endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, nullable=False),
    Column("account", Id, nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", Text, nullable=False),
    Column("secret", String(128), nullable=False),
    Column("previous_secret", String(128), nullable=True),
    Column("previous_until", Nanoseconds, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("after", Nanoseconds, nullable=False),
    Column("disabled_after", Nanoseconds, nullable=True),
    Column("failing_since", Nanoseconds, nullable=True),
    Column("created_at", Nanoseconds, nullable=False),
    CheckConstraint("(state = 'disabled') = (disabled_after IS NOT NULL)", name="disabled_after_known"),
    Index("ix_webhook_endpoints_party", "party"),
    Index("ix_webhook_endpoints_account", "account"),
)
"""`after`: events up to this ledger time are not sent by themselves. `disabled_after`: up to it they were written before the
endpoint was disabled. `event_types`: names with a space between; empty for all. A secret is kept as it is, since we sign."""

outbox = Table(
    "webhook_outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("endpoint", Id, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("timestamp", Nanoseconds, nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("round_began_at", Nanoseconds, nullable=True),
    Column("next_attempt_at", Nanoseconds, nullable=True),
    Column("delivered_at", Nanoseconds, nullable=True),
    Column("last_status", SmallInteger, nullable=True),
    Column("created_at", Nanoseconds, nullable=False),
    CheckConstraint("next_attempt_at IS NULL OR delivered_at IS NULL", name="delivered_or_due"),
    Index("ix_webhook_outbox_due", "endpoint", "next_attempt_at"),
    Index("ix_webhook_outbox_timestamp", "endpoint", "timestamp"),
)
"""`attempts` counts all there ever were, `retries` those of this round (a manual replay begins a new one). No
`next_attempt_at`: delivered, or given up."""

attempts = Table(
    "webhook_attempts",
    metadata,
    Column("message", Id, ForeignKey("webhook_outbox.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("endpoint", Id, nullable=False),
    Column("at", Nanoseconds, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("status", SmallInteger, nullable=True),
    Column("error", Text, nullable=False),
    Index("ix_webhook_attempts_endpoint", "endpoint", "at"),
)
