"""Pumps of fuel stations, and fills.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATES = "state IN ('idle', 'authorised', 'dispensing', 'timed_out', 'done', 'aborted')"


def upgrade() -> None:
    op.create_table(
        "pumps",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("products", sa.Text(), nullable=False),
        sa.Column("full_tank", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_pumps_number_positive")),
        sa.CheckConstraint("full_tank > 0", name=op.f("ck_pumps_full_tank_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_pumps_account_party_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pumps")),
    )
    op.create_index("ix_pumps_number", "pumps", ["account", "number"], unique=True)
    op.create_table(
        "fills",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("pump", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("amount_max", sa.BigInteger(), nullable=False),
        sa.Column("totaliser", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("millilitres", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(STATES, name=op.f("ck_fills_state_known")),
        sa.CheckConstraint("(ended_at IS NULL) = (state NOT IN ('done', 'aborted'))", name=op.f("ck_fills_ended_when_over")),
        sa.CheckConstraint("millilitres >= 0", name=op.f("ck_fills_millilitres_not_negative")),
        sa.ForeignKeyConstraint(["pump"], ["pumps.id"], name=op.f("fk_fills_pump_pumps")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_fills_account_party_accounts")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_fills_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fills")),
    )
    op.create_index("ix_fills_account", "fills", ["account", "id"])
    is_open = sa.text("ended_at IS NULL")
    op.create_index("ix_fills_open", "fills", ["pump"], unique=True, sqlite_where=is_open, postgresql_where=is_open)
