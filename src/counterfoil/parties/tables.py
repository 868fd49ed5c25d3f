"""The tables of parties. What is in an account, only the ledger knows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from counterfoil.store.schema import Amount, Id, Nanoseconds, metadata

tiers = Table(
    "tiers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("per_payment", Amount, nullable=False),
    Column("per_day", Amount, nullable=False),
    Column("per_month", Amount, nullable=False),
    Column("balance_max", Amount, nullable=False),
    CheckConstraint("per_payment >= 0 AND per_day >= 0 AND per_month >= 0 AND balance_max >= 0", name="limits_not_negative"),
)

parties = Table(
    "parties",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("number", String(16), unique=True, nullable=True),
    Column("handle", String(20), unique=True, nullable=True),
    Column("handle_skeleton", String(20), unique=True, nullable=True),
    Column("merchant_code", String(7), unique=True, nullable=True),
    Column("tier", String(40), ForeignKey("tiers.name"), nullable=True),
    Column("language", String(8), nullable=False),
    Column("state", String(8), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    CheckConstraint("kind IN ('customer', 'merchant', 'agent', 'institution', 'staff')", name="kind_known"),
    CheckConstraint("state IN ('open', 'closed')", name="state_known"),
    CheckConstraint("(tier IS NULL) = (kind = 'staff')", name="tier_unless_staff"),
    CheckConstraint("(handle IS NULL) = (handle_skeleton IS NULL)", name="handle_with_skeleton"),
)

accounts = Table(
    "party_accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False, index=True),
    Column("code", Integer, nullable=False),
    Column("ledger", Integer, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False, index=True),
    Column("algorithm", String(8), nullable=False),
    Column("public_key", LargeBinary(65), unique=True, nullable=False),
    Column("label", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("possession", LargeBinary, nullable=False),
    Column("bound_by", Id, nullable=True),
    Column("bound_signature", LargeBinary, nullable=True),
    Column("created_at", Nanoseconds, nullable=False),
    Column("revoked_at", Nanoseconds, nullable=True),
    CheckConstraint("state IN ('active', 'waiting', 'revoked')", name="state_known"),
)
"""`statement` is what was signed when the key was bound: by the key itself (`possession`) and by an older device, if any."""

pins = Table(
    "pins",
    metadata,
    Column("party", Id, primary_key=True),
    Column("hash", String(128), nullable=False),
    Column("set_at", Nanoseconds, nullable=False),
)
"""By party, or by clerk of a shop's till."""

pin_attempts = Table(
    "pin_attempts",
    metadata,
    Column("subject", Id, primary_key=True),
    Column("wrong_count", Integer, nullable=False),
    Column("locked_until", Nanoseconds, nullable=False),
    Column("last_at", Nanoseconds, nullable=False, index=True),
)
"""By party; for an address that nobody has, by its hash, so that guessing looks and costs the same."""

codes = Table(
    "enrolment_codes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("number", String(16), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("attempts_left", Integer, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("used_at", Nanoseconds, nullable=True),
    Index("ix_enrolment_codes_number", "number", "created_at"),
    CheckConstraint("attempts_left >= 0", name="attempts_not_negative"),
)

freezes = Table(
    "freezes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False, index=True),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=True),
    Column("reason", Text, nullable=False),
    Column("incoming", Boolean, nullable=False),
    Column("by", Id, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=True),
    Column("lifted_at", Nanoseconds, nullable=True),
    Column("lifted_by", Id, nullable=True),
    Column("lifted_reason", Text, nullable=True),
)

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False, index=True),
    Column("device", Id, ForeignKey("devices.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("by", Id, nullable=True),
    Column("created_at", Nanoseconds, nullable=False),
    Column("effective_at", Nanoseconds, nullable=False),
    Column("ended_at", Nanoseconds, nullable=True),
    CheckConstraint("state IN ('waiting', 'done', 'cancelled')", name="state_known"),
    Index("ix_recoveries_due", "state", "effective_at"),
)

own_limits = Table(
    "own_limits",
    metadata,
    Column("party", Id, ForeignKey("parties.id"), primary_key=True),
    Column("per_payment", Amount, nullable=False),
    Column("per_day", Amount, nullable=False),
    Column("per_month", Amount, nullable=False),
)

watchers = Table(
    "watchers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("account", Id, ForeignKey("party_accounts.id"), nullable=False),
    Column("watcher", Id, ForeignKey("parties.id"), nullable=False),
    Column("state", String(8), nullable=False),
    Column("by", Id, nullable=False),
    Column("asked_at", Nanoseconds, nullable=False),
    Column("after", Nanoseconds, nullable=True),
    Column("until", Nanoseconds, nullable=True),
    CheckConstraint("state IN ('asked', 'watching', 'ended')", name="state_known"),
    CheckConstraint("watcher <> party", name="two_persons"),
    Index("ix_watchers_account", "account", "state"),
    Index("ix_watchers_party", "party", "state"),
    Index("ix_watchers_watcher", "watcher", "state"),
    Index("ix_watchers_due", "state", "until"),
)
"""`after`, `until`: ledger times between which the watcher is told; NULL `after` until they accept."""

sim_changes = Table(
    "sim_changes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("source", String(48), nullable=False),
    Column("by", Id, nullable=True),
    Column("reason", Text, nullable=False),
    Column("at", Nanoseconds, nullable=False),
    Column("until", Nanoseconds, nullable=False),
    Column("lifted_at", Nanoseconds, nullable=True),
    Column("lifted_by", Id, nullable=True),
    Index("ix_sim_changes_party", "party", "until"),
)
"""`source`: who told us, such as "staff" or "gateway kannel"; `by`: the member of staff, or whose token it was."""

staff_roles = Table(
    "staff_roles",
    metadata,
    Column("party", Id, ForeignKey("parties.id"), primary_key=True),
    Column("role", String(16), primary_key=True),
)

events = Table(
    "party_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("party", Id, ForeignKey("parties.id"), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("by", Id, nullable=True),
    Column("facts", Text, nullable=False),
    Column("at", Nanoseconds, nullable=False),
    Index("ix_party_events_party", "party", "at"),
)
"""Everything that ever changed about a party, in the same transaction as the change. `by`: a party or a device; NULL the scheme.

`number`: 1, 2, ... in the order of commits, whatever the clock said.
"""

notices = Table(
    "notices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("party", Id, nullable=True, index=True),
    Column("channel", String(8), nullable=False),
    Column("number", String(16), nullable=True),
    Column("device", Id, nullable=True),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("delivered_at", Nanoseconds, nullable=True),
    Index("ix_notices_waiting", "delivered_at", "created_at"),
    Index("ix_notices_channel", "channel", "delivered_at", "created_at"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposer", Id, ForeignKey("parties.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Nanoseconds, nullable=False),
    Column("expires_at", Nanoseconds, nullable=False),
    Column("decided_by", Id, ForeignKey("parties.id"), nullable=True),
    Column("decided_at", Nanoseconds, nullable=True),
    Column("outcome", Text, nullable=False),
    CheckConstraint("decided_by <> proposer", name="two_persons"),
    CheckConstraint("state IN ('proposed', 'approved', 'executed', 'failed', 'rejected', 'expired')", name="state_known"),
    Index("ix_proposals_state", "state", "created_at"),
)
