"""The tables of the foundation: parties, payments, callbacks, feeds.

Revision: 0001, after nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enrolment_codes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attempts_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("attempts_left >= 0", name=op.f("ck_enrolment_codes_attempts_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_codes")),
    )
    with op.batch_alter_table("enrolment_codes", schema=None) as batch_op:
        batch_op.create_index("ix_enrolment_codes_number", ["number", "created_at"], unique=False)

    op.create_table(
        "feed_positions",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_positions")),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=True),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=True),
        sa.Column("device", sa.LargeBinary(16), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notices_party"), ["party"], unique=False)
        batch_op.create_index("ix_notices_waiting", ["delivered_at", "created_at"], unique=False)

    op.create_table(
        "payment_batches",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("payer", sa.LargeBinary(16), nullable=False),
        sa.Column("order_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("lines_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("max_fee", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_batches")),
    )
    with op.batch_alter_table("payment_batches", schema=None) as batch_op:
        batch_op.create_index("ix_payment_batches_payer", ["payer", "created_at"], unique=False)

    op.create_table(
        "payment_requests",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("payee", sa.LargeBinary(16), nullable=False),
        sa.Column("payer", sa.LargeBinary(16), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("cash_in", sa.SmallInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("paid_by", sa.LargeBinary(16), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_requests_amount_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_requests")),
    )
    with op.batch_alter_table("payment_requests", schema=None) as batch_op:
        batch_op.create_index("ix_payment_requests_payee", ["payee", "created_at"], unique=False)
        batch_op.create_index("ix_payment_requests_payer", ["payer", "created_at"], unique=False)

    op.create_table(
        "payments",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("order_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.Column("payer", sa.LargeBinary(16), nullable=False),
        sa.Column("payee", sa.LargeBinary(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("fee_paid_by", sa.String(length=8), nullable=False),
        sa.Column("reference", sa.LargeBinary(16), nullable=False),
        sa.Column("timeout_s", sa.Integer(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("authorisation", sa.SmallInteger(), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("mandate", sa.LargeBinary(16), nullable=False),
        sa.Column("order_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount_positive")),
        sa.CheckConstraint("fee >= 0", name=op.f("ck_payments_fee_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_table(
        "pin_attempts",
        sa.Column("subject", sa.LargeBinary(16), nullable=False),
        sa.Column("wrong_count", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_pin_attempts")),
    )
    with op.batch_alter_table("pin_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pin_attempts_last_at"), ["last_at"], unique=False)

    op.create_table(
        "standing_orders",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("payer", sa.LargeBinary(16), nullable=False),
        sa.Column("payee", sa.LargeBinary(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("max_fee", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("every", sa.String(length=8), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("count_max", sa.Integer(), nullable=False),
        sa.Column("order_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_standing_orders_amount_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing_orders")),
    )
    with op.batch_alter_table("standing_orders", schema=None) as batch_op:
        batch_op.create_index("ix_standing_orders_due", ["state", "next_at"], unique=False)
        batch_op.create_index("ix_standing_orders_payer", ["payer"], unique=False)

    op.create_table(
        "tiers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("per_payment", sa.BigInteger(), nullable=False),
        sa.Column("per_day", sa.BigInteger(), nullable=False),
        sa.Column("per_month", sa.BigInteger(), nullable=False),
        sa.Column("balance_max", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "per_payment >= 0 AND per_day >= 0 AND per_month >= 0 AND balance_max >= 0", name=op.f("ck_tiers_limits_not_negative")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tiers")),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("previous_secret", sa.String(length=128), nullable=True),
        sa.Column("previous_until", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("disabled_after", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(state = 'disabled') = (disabled_after IS NOT NULL)", name=op.f("ck_webhook_endpoints_disabled_after_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_endpoints_account", ["account"], unique=False)
        batch_op.create_index("ix_webhook_endpoints_party", ["party"], unique=False)

    op.create_table(
        "parties",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=True),
        sa.Column("handle", sa.String(length=20), nullable=True),
        sa.Column("handle_skeleton", sa.String(length=20), nullable=True),
        sa.Column("merchant_code", sa.String(length=7), nullable=True),
        sa.Column("tier", sa.String(length=40), nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(tier IS NULL) = (kind = 'staff')", name=op.f("ck_parties_tier_unless_staff")),
        sa.CheckConstraint("kind IN ('customer', 'merchant', 'agent', 'institution', 'staff')", name=op.f("ck_parties_kind_known")),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_parties_state_known")),
        sa.CheckConstraint("(handle IS NULL) = (handle_skeleton IS NULL)", name=op.f("ck_parties_handle_with_skeleton")),
        sa.ForeignKeyConstraint(["tier"], ["tiers.name"], name=op.f("fk_parties_tier_tiers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parties")),
        sa.UniqueConstraint("handle", name=op.f("uq_parties_handle")),
        sa.UniqueConstraint("handle_skeleton", name=op.f("uq_parties_handle_skeleton")),
        sa.UniqueConstraint("merchant_code", name=op.f("uq_parties_merchant_code")),
        sa.UniqueConstraint("number", name=op.f("uq_parties_number")),
    )
    op.create_table(
        "payment_batch_lines",
        sa.Column("batch", sa.LargeBinary(16), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["payment_batches.id"], name=op.f("fk_payment_batch_lines_batch_payment_batches")),
        sa.PrimaryKeyConstraint("batch", "line", name=op.f("pk_payment_batch_lines")),
    )
    op.create_table(
        "payment_links",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("reference", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_links_amount_positive")),
        sa.ForeignKeyConstraint(["payment"], ["payments.id"], name=op.f("fk_payment_links_payment_payments")),
        sa.PrimaryKeyConstraint("payment", name=op.f("pk_payment_links")),
    )
    with op.batch_alter_table("payment_links", schema=None) as batch_op:
        batch_op.create_index("ix_payment_links_open", ["outcome", "decided_by"], unique=False)
        batch_op.create_index("ix_payment_links_reference", ["reference"], unique=False)

    op.create_table(
        "payment_refusals",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("refused_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["payment"], ["payments.id"], name=op.f("fk_payment_refusals_payment_payments")),
        sa.PrimaryKeyConstraint("payment", name=op.f("pk_payment_refusals")),
    )
    op.create_table(
        "standing_order_runs",
        sa.Column("standing_order", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("ran_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["standing_order"], ["standing_orders.id"], name=op.f("fk_standing_order_runs_standing_order_standing_orders")
        ),
        sa.PrimaryKeyConstraint("standing_order", "number", name=op.f("pk_standing_order_runs")),
    )
    op.create_table(
        "webhook_outbox",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("endpoint", sa.LargeBinary(16), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("round_began_at", sa.BigInteger(), nullable=True),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("last_status", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("next_attempt_at IS NULL OR delivered_at IS NULL", name=op.f("ck_webhook_outbox_delivered_or_due")),
        sa.ForeignKeyConstraint(["endpoint"], ["webhook_endpoints.id"], name=op.f("fk_webhook_outbox_endpoint_webhook_endpoints")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_outbox")),
    )
    with op.batch_alter_table("webhook_outbox", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_outbox_due", ["endpoint", "next_attempt_at"], unique=False)
        batch_op.create_index("ix_webhook_outbox_timestamp", ["endpoint", "timestamp"], unique=False)

    op.create_table(
        "devices",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("algorithm", sa.String(length=8), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=65), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("possession", sa.LargeBinary(), nullable=False),
        sa.Column("bound_by", sa.LargeBinary(16), nullable=True),
        sa.Column("bound_signature", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('active', 'waiting', 'revoked')", name=op.f("ck_devices_state_known")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_devices_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("public_key", name=op.f("uq_devices_public_key")),
    )
    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_devices_party"), ["party"], unique=False)

    op.create_table(
        "own_limits",
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("per_payment", sa.BigInteger(), nullable=False),
        sa.Column("per_day", sa.BigInteger(), nullable=False),
        sa.Column("per_month", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_own_limits_party_parties")),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_own_limits")),
    )
    op.create_table(
        "party_accounts",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("ledger", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_party_accounts_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_party_accounts")),
    )
    with op.batch_alter_table("party_accounts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_party_accounts_party"), ["party"], unique=False)

    op.create_table(
        "party_events",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_party_events_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_party_events")),
    )
    with op.batch_alter_table("party_events", schema=None) as batch_op:
        batch_op.create_index("ix_party_events_party", ["party", "at"], unique=False)

    op.create_table(
        "pins",
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_pins_party_parties")),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_pins")),
    )
    op.create_table(
        "proposals",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposer", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.LargeBinary(16), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('proposed', 'approved', 'executed', 'failed', 'rejected', 'expired')", name=op.f("ck_proposals_state_known")
        ),
        sa.CheckConstraint("decided_by <> proposer", name=op.f("ck_proposals_two_persons")),
        sa.ForeignKeyConstraint(["decided_by"], ["parties.id"], name=op.f("fk_proposals_decided_by_parties")),
        sa.ForeignKeyConstraint(["proposer"], ["parties.id"], name=op.f("fk_proposals_proposer_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
    )
    with op.batch_alter_table("proposals", schema=None) as batch_op:
        batch_op.create_index("ix_proposals_state", ["state", "created_at"], unique=False)

    op.create_table(
        "staff_roles",
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_staff_roles_party_parties")),
        sa.PrimaryKeyConstraint("party", "role", name=op.f("pk_staff_roles")),
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("message", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("endpoint", sa.LargeBinary(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["webhook_outbox.id"], name=op.f("fk_webhook_attempts_message_webhook_outbox")),
        sa.PrimaryKeyConstraint("message", "number", name=op.f("pk_webhook_attempts")),
    )
    with op.batch_alter_table("webhook_attempts", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_attempts_endpoint", ["endpoint", "at"], unique=False)

    op.create_table(
        "freezes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("incoming", sa.Boolean(), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.LargeBinary(16), nullable=True),
        sa.Column("lifted_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_freezes_account_party_accounts")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_freezes_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    with op.batch_alter_table("freezes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_freezes_party"), ["party"], unique=False)

    op.create_table(
        "recoveries",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'done', 'cancelled')", name=op.f("ck_recoveries_state_known")),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_recoveries_device_devices")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_recoveries_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
    )
    with op.batch_alter_table("recoveries", schema=None) as batch_op:
        batch_op.create_index("ix_recoveries_due", ["state", "effective_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_recoveries_party"), ["party"], unique=False)

    op.create_table(
        "tokens",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("created_by", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_tokens_account_party_accounts")),
        sa.ForeignKeyConstraint(["created_by"], ["devices.id"], name=op.f("fk_tokens_created_by_devices")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_tokens_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index("ix_tokens_party", ["party", "created_at"], unique=False)
