"""The tables of conversations: what people wrote to each other, and each side's view of a thread."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from counterfoil.store.schema import Id, Nanoseconds, metadata

messages = Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("pair", LargeBinary(32), nullable=False),
    Column("sender", Id, nullable=False),
    Column("recipient", Id, nullable=False),
    Column("text", Text, nullable=False),
    Column("sent_at", Nanoseconds, nullable=False),
    Column("read_at", Nanoseconds, nullable=True),
    CheckConstraint("sender <> recipient", name="two_people"),
    Index("ix_messages_thread", "pair", "sent_at", unique=True),
    Index("ix_messages_sender", "sender", "sent_at"),
)
"""`pair`: both accounts, the lower first, 16 bytes each. Within a pair `sent_at` rises: it is the order and the page's cursor."""

threads = Table(
    "message_threads",
    metadata,
    Column("account", Id, primary_key=True),
    Column("other", Id, primary_key=True),
    Column("last_message", Id, ForeignKey("messages.id"), nullable=True),
    Column("last_at", Nanoseconds, nullable=False),
    Column("unread", Integer, nullable=False),
    Column("blocked_at", Nanoseconds, nullable=True),
    CheckConstraint("unread >= 0", name="unread_not_negative"),
    Index("ix_message_threads_account", "account", "last_at"),
)
"""One row for each side. `last_at` 0 and no `last_message`: a thread without messages, there only because it is blocked."""
