"""Text messages: one row for each notice that goes to a number. Notices are found by their channel.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sms_messages",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("alphabet", sa.String(length=4), nullable=False),
        sa.Column("parts", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=128), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name=op.f("ck_sms_messages_due_while_waiting")),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'delivered', 'failed', 'expired', 'capped')", name=op.f("ck_sms_messages_state_known")
        ),
        sa.CheckConstraint("parts > 0", name=op.f("ck_sms_messages_parts_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_messages")),
        sa.UniqueConstraint("sequence", name=op.f("uq_sms_messages_sequence")),
    )
    with op.batch_alter_table("sms_messages", schema=None) as batch_op:
        batch_op.create_index("ix_sms_messages_waiting", ["state", "rank", "sequence"], unique=False)
        batch_op.create_index("ix_sms_messages_number", ["number", "state", "rank", "sequence"], unique=False)
        batch_op.create_index("ix_sms_messages_expiry", ["state", "expires_at"], unique=False)
        batch_op.create_index("ix_sms_messages_reference", ["gateway", "reference"], unique=False)
        batch_op.create_index("ix_sms_messages_created", ["created_at"], unique=False)
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index("ix_notices_channel", ["channel", "delivered_at", "created_at"], unique=False)
