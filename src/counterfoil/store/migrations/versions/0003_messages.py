"""Messages between people.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("pair", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sender", sa.LargeBinary(16), nullable=False),
        sa.Column("recipient", sa.LargeBinary(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("sender <> recipient", name=op.f("ck_messages_two_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index("ix_messages_thread", ["pair", "sent_at"], unique=True)
        batch_op.create_index("ix_messages_sender", ["sender", "sent_at"], unique=False)

    op.create_table(
        "message_threads",
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("other", sa.LargeBinary(16), nullable=False),
        sa.Column("last_message", sa.LargeBinary(16), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("unread", sa.Integer(), nullable=False),
        sa.Column("blocked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("unread >= 0", name=op.f("ck_message_threads_unread_not_negative")),
        sa.ForeignKeyConstraint(["last_message"], ["messages.id"], name=op.f("fk_message_threads_last_message_messages")),
        sa.PrimaryKeyConstraint("account", "other", name=op.f("pk_message_threads")),
    )
    with op.batch_alter_table("message_threads", schema=None) as batch_op:
        batch_op.create_index("ix_message_threads_account", ["account", "last_at"], unique=False)
