"""Receipt codes, and texts that come in: what was asked, never what it said.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipt_codes",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment", "account", name=op.f("pk_receipt_codes")),
    )
    with op.batch_alter_table("receipt_codes", schema=None) as batch_op:
        batch_op.create_index("ix_receipt_codes_value", ["value"], unique=False)

    op.create_table(
        "sms_received",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=128), nullable=True),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_received")),
    )
    with op.batch_alter_table("sms_received", schema=None) as batch_op:
        batch_op.create_index("ix_sms_received_reference", ["gateway", "reference"], unique=True)
        batch_op.create_index("ix_sms_received_number", ["number", "received_at"], unique=False)
        batch_op.create_index("ix_sms_received_at", ["received_at"], unique=False)

    op.create_table(
        "sms_drafts",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("code", sa.String(length=4), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.CheckConstraint("kind IN ('pay', 'ask', 'join')", name=op.f("ck_sms_drafts_kind_known")),
        sa.CheckConstraint("outcome IN ('open', 'right', 'wrong', 'replaced')", name=op.f("ck_sms_drafts_outcome_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_drafts")),
    )
    with op.batch_alter_table("sms_drafts", schema=None) as batch_op:
        batch_op.create_index("ix_sms_drafts_number", ["number", "created_at"], unique=False)
