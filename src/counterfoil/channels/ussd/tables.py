"""The table of sessions: what a phone saw last, and what it is in the middle of."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, String, Table, Text

from counterfoil.channels.ussd.types import SESSION_SIZE_MAX
from counterfoil.store.schema import Nanoseconds, metadata

GATEWAY_SIZE_MAX = 40

ussd_sessions = Table(
    "ussd_sessions",
    metadata,
    Column("gateway", String(GATEWAY_SIZE_MAX), primary_key=True),
    Column("session", String(SESSION_SIZE_MAX), primary_key=True),
    Column("number", String(16), nullable=False),
    Column("state", Text, nullable=False),
    Column("answer", Text, nullable=True),
    Column("ends", Boolean, nullable=False),
    Column("seen_at", Nanoseconds, nullable=False, index=True),
    Index("ix_ussd_sessions_number", "number", "seen_at"),
)
"""`state`: JSON of `sessions.State`; no PIN is ever in it. `answer` NULL: the last hop has not been answered so far."""
