"""The tables of tills. Whether a sale is paid is not in them: payments and the ledger are asked."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

tills = Table(
    "tills",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("token", Id, ForeignKey("tokens.id"), nullable=True),
    Column("code_hash", LargeBinary(32), nullable=True),
    Column("code_expires_at", Nanoseconds, nullable=True),
    Column("code_by", Id, ForeignKey("devices.id"), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("paired_at", Nanoseconds, nullable=True),
    Column("ended_at", Nanoseconds, nullable=True),
    Index("ix_tills_account", "account"),
    Index("ix_tills_token", "token", unique=True),
    Index("ix_tills_code_hash", "code_hash", unique=True),
)
"""`label`: what the paired device calls itself. `code_by`: the owner's device that made the last code."""

clerks = Table(
    "clerks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("rights", String(100), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("ended_at", Nanoseconds, nullable=True),
    Index("ix_clerks_account", "account"),
)
"""Their PINs are in `pins`, by the clerk's id."""

clerk_sessions = Table(
    "clerk_sessions",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("used_at", Nanoseconds, nullable=False),
    Index("ix_clerk_sessions_created", "created_at"),
    Index("ix_clerk_sessions_clerk", "clerk"),
)

goods = Table(
    "goods",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("price", Amount, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("shown", Boolean, nullable=False),
    Column("position", Integer, nullable=False),
    Column("changed_at", Nanoseconds, nullable=False),
    Column("barcode", String(20), nullable=False, server_default=""),
    Column("department", Text, nullable=False, server_default=""),
    Column("tax", Integer, nullable=False, server_default="0"),
    CheckConstraint("tax BETWEEN 0 AND 9999", name="tax_known"),
    Index("ix_goods_account", "account", "position"),
    Index(
        "ix_goods_barcode", "account", "barcode", unique=True, sqlite_where=text("barcode <> ''"), postgresql_where=text("barcode <> ''")
    ),
)
"""`tax`: hundredths of a percent, contained in `price`."""

sales = Table(
    "sales",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=True),
    Column("day", String(10), nullable=False),
    Column("number", Integer, nullable=False),
    Column("lines", Text, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("hold", Boolean, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("slip_key", LargeBinary(16), nullable=False),
    Column("made_at", Nanoseconds, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("number > 0", name="number_positive"),
    Index("ix_sales_day", "account", "day", "number", unique=True),
)
"""The sale's id is also the id of its request to pay. `day`: of `made_at`, in the scheme's time zone."""

sale_actions = Table(
    "sale_actions",
    metadata,
    Column("payment", Id, primary_key=True),
    Column("sale", Id, ForeignKey("sales.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("memo", Text, nullable=False),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=True),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("at", Nanoseconds, nullable=False),
    Column("lines", Text, nullable=True),
    CheckConstraint("kind IN ('capture', 'release', 'refund')", name="kind_known"),
    Index("ix_sale_actions_sale", "sale"),
)
"""Who captured, released or refunded, written before the order is carried out. Whether it was, the ledger knows.

`clerk`: null where the till did it by itself, as a car park's gate does. `lines`: of a refund, what went back of which line."""

closings = Table(
    "day_closings",
    metadata,
    Column("account", Id, ForeignKey("party_accounts.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("id", Id, nullable=False),
    Column("day", String(10), nullable=False),
    Column("since", Nanoseconds, nullable=False),
    Column("until", Nanoseconds, nullable=False),
    Column("clerk", Id, ForeignKey("clerks.id"), nullable=False),
    Column("till", Id, ForeignKey("tills.id"), nullable=False),
    Column("sums", Text, nullable=False),
    Column("closed_at", Nanoseconds, nullable=False),
    CheckConstraint("number > 0", name="number_positive"),
    Index("ix_day_closings_id", "id", unique=True),
    Index("ix_day_closings_day", "account", "day", unique=True),
)
"""Written once, never changed. `since` and `until`: ledger time, the first one exclusive, the other inclusive."""
