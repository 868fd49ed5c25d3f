"""What a scheme writes to many, texts that wait for a better hour, and reports of messages.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.LargeBinary(16), nullable=True),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("people >= 0 AND texts >= 0 AND left_out >= 0", name=op.f("ck_announcements_counts_not_negative")),
        sa.ForeignKeyConstraint(["id"], ["proposals.id"], name=op.f("fk_announcements_id_proposals")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
    )
    op.create_index("ix_announcements_done", "announcements", ["done_at", "approved_at"])
    op.create_table(
        "announcement_lists",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_announcement_lists_party_parties")),
        sa.PrimaryKeyConstraint("hash", "party", name=op.f("pk_announcement_lists")),
    )
    op.create_table(
        "held_texts",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'dropped')", name=op.f("ck_held_texts_state_known")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_held_texts_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_texts")),
    )
    op.create_index("ix_held_texts_due", "held_texts", ["state", "due_at"])
    op.create_index("ix_held_texts_party", "held_texts", ["party", "due_at"])
    op.create_table(
        "message_reports",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("message", sa.LargeBinary(16), nullable=False),
        sa.Column("reporter", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.LargeBinary(16), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.LargeBinary(16), nullable=True),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("days", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("days IN (0, 1, 7, 30)", name=op.f("ck_message_reports_days_known")),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name=op.f("ck_message_reports_closed_by_somebody")),
        sa.ForeignKeyConstraint(["message"], ["messages.id"], name=op.f("fk_message_reports_message_messages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_reports")),
    )
    op.create_index("ix_message_reports_once", "message_reports", ["message", "reporter"], unique=True)
    op.create_index("ix_message_reports_open", "message_reports", ["closed_at", "created_at"])
    op.create_index("ix_message_reports_reporter", "message_reports", ["reporter", "created_at"])
    op.create_table(
        "silenced",
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_silenced")),
    )
