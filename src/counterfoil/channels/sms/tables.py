"""The table of text messages: what is to be said to which number, and what became of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, SmallInteger, String, Table, Text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

messages = Table(
    "sms_messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("number", String(16), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("alphabet", String(4), nullable=False),
    Column("parts", SmallInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("gateway", String(32), nullable=False),
    Column("reference", String(128), nullable=False),
    Column("cost", Amount, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Nanoseconds, nullable=True),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("sent_at", Nanoseconds, nullable=True),
    Column("reported_at", Nanoseconds, nullable=True),
    CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="due_while_waiting"),
    CheckConstraint("state IN ('waiting', 'sent', 'delivered', 'failed', 'expired', 'capped')", name="state_known"),
    CheckConstraint("parts > 0", name="parts_positive"),
    Index("ix_sms_messages_waiting", "state", "rank", "sequence"),
    Index("ix_sms_messages_number", "number", "state", "rank", "sequence"),
    Index("ix_sms_messages_expiry", "state", "expires_at"),
    Index("ix_sms_messages_reference", "gateway", "reference"),
    Index("ix_sms_messages_created", "created_at"),
)
"""`id` is the notice's, so a notice is here once. `sequence`: 1, 2, ... in the order in which notices were taken over. `rank`: see
`texts.Rank`. `text` is "" once it held something secret and has left, or never will. `gateway` and `reference`: who took it last,
and under which name of its own. `sent_at`: since when it has it; while the text waits, since when nobody knows whether it has.
`cost`: minor units, 0 until a gateway took it; of each gateway that took it, where there were two."""
