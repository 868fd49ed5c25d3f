"""The tables of payments: the system of reference. What moved, and what is in an account, only the ledger knows."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Table, Text, text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

payments = Table(
    "payments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("order_hash", LargeBinary(32), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("service", String(16), nullable=False),
    Column("payer", Id, nullable=False),
    Column("payee", Id, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("fee", Amount, nullable=False),
    Column("fee_paid_by", String(8), nullable=False),
    Column("reference", Id, nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("memo", Text, nullable=False),
    Column("authorisation", SmallInteger, nullable=False),
    Column("device", Id, nullable=False),
    Column("mandate", Id, nullable=False),
    Column("order_bytes", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("fee >= 0", name="fee_not_negative"),
)
_BY_PIN = text("authorisation = 2 AND kind = 1")
Index("ix_payments_by_pin", payments.c.payee, payments.c.created_at, sqlite_where=_BY_PIN, postgresql_where=_BY_PIN)
"""Of the few that a shop is asked to countersign; the others pay nothing for it."""

countersignatures = Table(
    "payment_countersignatures",
    metadata,
    Column("payment", Id, ForeignKey("payments.id"), primary_key=True),
    Column("device", Id, nullable=False),
    Column("at", Nanoseconds, nullable=False),
)
"""Payments by PIN of which the payee's own device has said that they came in. What it signed stands in the parties' journal."""

refusals = Table(
    "payment_refusals",
    metadata,
    Column("payment", Id, ForeignKey("payments.id"), primary_key=True),
    Column("code", String(64), nullable=False),
    Column("facts", Text, nullable=False),
    Column("refused_at", Nanoseconds, nullable=False),
)
"""Refusals by the ledger, kept so that a repeat hears the same answer."""

links = Table(
    "payment_links",
    metadata,
    Column("payment", Id, ForeignKey("payments.id"), primary_key=True),
    Column("reference", Id, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("decided_by", Nanoseconds, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_payment_links_reference", "reference"),
    Index("ix_payment_links_open", "outcome", "decided_by"),
)
"""Which payment answers which request, hold or earlier payment. Refunds are summed here; `FAILED` ones do not count."""

requests = Table(
    "payment_requests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("payee", Id, nullable=False),
    Column("payer", Id, nullable=True),
    Column("amount", Amount, nullable=True),
    Column("purpose", SmallInteger, nullable=False),
    Column("memo", Text, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("device", Id, nullable=False),
    Column("state", String(16), nullable=False),
    Column("paid_by", Id, nullable=True),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_payment_requests_payer", "payer", "created_at"),
    Index("ix_payment_requests_payee", "payee", "created_at"),
)

batches = Table(
    "payment_batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("payer", Id, nullable=False),
    Column("order_bytes", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("device", Id, nullable=False),
    Column("lines_hash", LargeBinary(32), nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("total", Amount, nullable=False),
    Column("max_fee", Amount, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Index("ix_payment_batches_payer", "payer", "created_at"),
)

batch_lines = Table(
    "payment_batch_lines",
    metadata,
    Column("batch", Id, ForeignKey("payment_batches.id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("address", Text, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("memo", Text, nullable=False),
    Column("payment", Id, nullable=False),
    Column("outcome", String(64), nullable=True),
    Column("detail", Text, nullable=False),
)

standing_orders = Table(
    "standing_orders",
    metadata,
    Column("id", Id, primary_key=True),
    Column("payer", Id, nullable=False),
    Column("payee", Id, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("max_fee", Amount, nullable=False),
    Column("memo", Text, nullable=False),
    Column("every", String(8), nullable=False),
    Column("first_at", Nanoseconds, nullable=False),
    Column("count_max", Integer, nullable=False),
    Column("order_bytes", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("device", Id, nullable=False),
    Column("state", String(16), nullable=False),
    Column("next_number", Integer, nullable=False),
    Column("next_at", Nanoseconds, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_standing_orders_due", "state", "next_at"),
    Index("ix_standing_orders_payer", "payer"),
)

standing_runs = Table(
    "standing_order_runs",
    metadata,
    Column("standing_order", Id, ForeignKey("standing_orders.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("payment", Id, nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("ran_at", Nanoseconds, nullable=False),
)
