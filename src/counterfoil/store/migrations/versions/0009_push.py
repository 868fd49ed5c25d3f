"""Web Push: which device can be woken and how, and each message to it.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "push_subscriptions",
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.LargeBinary(length=65), nullable=False),
        sa.Column("auth", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_push_subscriptions")),
        sa.UniqueConstraint("endpoint", name=op.f("uq_push_subscriptions_endpoint")),
    )
    with op.batch_alter_table("push_subscriptions", schema=None) as batch_op:
        batch_op.create_index("ix_push_subscriptions_account", ["account"], unique=False)

    op.create_table(
        "push_messages",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("cause", sa.String(length=96), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'acknowledged', 'unheard', 'gone', 'by_sms')", name=op.f("ck_push_messages_state_known")
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (state IN ('waiting', 'sent'))", name=op.f("ck_push_messages_ended_unless_open")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push_messages")),
        sa.UniqueConstraint("device", "cause", name=op.f("uq_push_messages_device_cause")),
    )
    with op.batch_alter_table("push_messages", schema=None) as batch_op:
        batch_op.create_index("ix_push_messages_due", ["state", "next_attempt_at"], unique=False)
        batch_op.create_index("ix_push_messages_until", ["state", "until"], unique=False)
        batch_op.create_index("ix_push_messages_cause", ["party", "cause"], unique=False)
        batch_op.create_index("ix_push_messages_ended", ["ended_at"], unique=False)
