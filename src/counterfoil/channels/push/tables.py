"""The tables of Web Push: which device can be woken and how, and each waking from its cause to its end."""

from __future__ import annotations

import enum

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from counterfoil.store.schema import Id, Nanoseconds, metadata


class PushState(enum.StrEnum):
    """How it stands with one message to one device."""

    WAITING = "waiting"
    """To be handed to the push service."""
    SENT = "sent"
    """The push service has it; the device has not said so."""
    ACKNOWLEDGED = "acknowledged"
    UNHEARD = "unheard"
    """The device said nothing in time."""
    GONE = "gone"
    """There was no way to the device: no subscription any more, or the push service refuses for good."""
    BY_SMS = "by_sms"
    """What it was about was told by SMS instead."""


OPEN = (PushState.WAITING, PushState.SENT)

push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("device", Id, primary_key=True),
    Column("party", Id, nullable=False),
    Column("account", Id, nullable=False),
    Column("endpoint", Text, nullable=False, unique=True),
    Column("p256dh", LargeBinary(65), nullable=False),
    Column("auth", LargeBinary(16), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Index("ix_push_subscriptions_account", "account"),
)
"""One for each device. Whoever knows an endpoint can speak to the push service about it: it is in no log."""

push_messages = Table(
    "push_messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("device", Id, nullable=False),
    Column("party", Id, nullable=False),
    Column("cause", String(96), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Nanoseconds, nullable=True),
    Column("until", Nanoseconds, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("ended_at", Nanoseconds, nullable=True),
    UniqueConstraint("device", "cause"),
    Index("ix_push_messages_due", "state", "next_attempt_at"),
    Index("ix_push_messages_until", "state", "until"),
    Index("ix_push_messages_cause", "party", "cause"),
    Index("ix_push_messages_ended", "ended_at"),
    CheckConstraint(
        "state IN ('waiting', 'sent', 'acknowledged', 'unheard', 'gone', 'by_sms')",
        name="state_known",
    ),
    CheckConstraint("(ended_at IS NULL) = (state IN ('waiting', 'sent'))", name="ended_unless_open"),
)
"""`id`: 16 random bytes, all that is sent; who knows it may acknowledge. `cause`: what happened, the same for all devices of a party.
`kind`, `body`: the SMS that says it where no device was heard of by `until`; kind is empty where none does."""
