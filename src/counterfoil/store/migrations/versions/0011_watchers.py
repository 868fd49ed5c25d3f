"""Watchers: whom somebody has chosen to be told of all that happens to their account.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watchers",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("watcher", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('asked', 'watching', 'ended')", name=op.f("ck_watchers_state_known")),
        sa.CheckConstraint("watcher <> party", name=op.f("ck_watchers_two_persons")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_watchers_account_party_accounts")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_watchers_party_parties")),
        sa.ForeignKeyConstraint(["watcher"], ["parties.id"], name=op.f("fk_watchers_watcher_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watchers")),
    )
    with op.batch_alter_table("watchers", schema=None) as batch_op:
        batch_op.create_index("ix_watchers_account", ["account", "state"], unique=False)
        batch_op.create_index("ix_watchers_party", ["party", "state"], unique=False)
        batch_op.create_index("ix_watchers_watcher", ["watcher", "state"], unique=False)
        batch_op.create_index("ix_watchers_due", ["state", "until"], unique=False)
