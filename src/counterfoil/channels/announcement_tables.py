"""The tables of what a scheme writes to many, of texts that wait for a better hour, and of what people report."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Table, Text

from counterfoil.store.schema import Id, Nanoseconds, metadata

announcements = Table(
    "announcements",
    metadata,
    Column("id", Id, ForeignKey("proposals.id"), primary_key=True),
    Column("payload", Text, nullable=False),
    Column("approved_at", Nanoseconds, nullable=False),
    Column("position", Id, nullable=True),
    Column("people", Integer, nullable=False),
    Column("texts", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("done_at", Nanoseconds, nullable=True),
    CheckConstraint("people >= 0 AND texts >= 0 AND left_out >= 0", name="counts_not_negative"),
    Index("ix_announcements_done", "done_at", "approved_at"),
)
"""What two members of staff have agreed to send. `position`: the last party that has it, in the order of their ids; `people`
that have it, `texts` that are sent for it or wait, `left_out`: people without an app to whom no text will go."""

announcement_lists = Table(
    "announcement_lists",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), primary_key=True),
)
"""Lists of people, each under the SHA-256 of its members' ids: what was approved cannot be another list."""

held_texts = Table(
    "held_texts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("due_at", Nanoseconds, nullable=False),
    Column("state", String(8), nullable=False),
    CheckConstraint("state IN ('waiting', 'sent', 'dropped')", name="state_known"),
    Index("ix_held_texts_due", "state", "due_at"),
    Index("ix_held_texts_party", "party", "due_at"),
)
"""Texts under the rules of `quiet`; the id is the message's. What was said is removed (body "{}") once it is in the outbox."""

reports = Table(
    "message_reports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("message", Id, ForeignKey("messages.id"), nullable=False),
    Column("reporter", Id, nullable=False),
    Column("sender", Id, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("sent_at", Nanoseconds, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("closed_at", Nanoseconds, nullable=True),
    Column("closed_by", Id, nullable=True),
    Column("word", Text, nullable=False),
    Column("days", SmallInteger, nullable=False),
    CheckConstraint("days IN (0, 1, 7, 30)", name="days_known"),
    CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="closed_by_somebody"),
    Index("ix_message_reports_once", "message", "reporter", unique=True),
    Index("ix_message_reports_open", "closed_at", "created_at"),
    Index("ix_message_reports_reporter", "reporter", "created_at"),
)
"""`text` and `sent_at` are a copy of what was reported."""

silenced = Table(
    "silenced",
    metadata,
    Column("account", Id, primary_key=True),
    Column("until", Nanoseconds, nullable=False),
    Column("by", Id, nullable=False),
    Column("at", Nanoseconds, nullable=False),
)
"""Accounts that write to nobody until then."""
