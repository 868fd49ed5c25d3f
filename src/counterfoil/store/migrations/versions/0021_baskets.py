"""Baskets that are paid in parts.

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "baskets",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("given_up_by", sa.LargeBinary(16), nullable=True),
        sa.Column("given_up_clerk", sa.LargeBinary(16), nullable=True),
        sa.Column("given_up_till", sa.LargeBinary(16), nullable=True),
        sa.Column("unfinished", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_baskets_amount_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_baskets_account_party_accounts")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_baskets_till_tills")),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_baskets_clerk_clerks")),
        sa.ForeignKeyConstraint(["given_up_clerk"], ["clerks.id"], name=op.f("fk_baskets_given_up_clerk_clerks")),
        sa.ForeignKeyConstraint(["given_up_till"], ["tills.id"], name=op.f("fk_baskets_given_up_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baskets")),
    )
    op.create_index("ix_baskets_account", "baskets", ["account", "id"])
    unfinished = sa.text("unfinished")
    op.create_index("ix_baskets_unfinished", "baskets", ["id"], sqlite_where=unfinished, postgresql_where=unfinished)
    op.create_table(
        "basket_parts",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("basket", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("said", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.String(length=9), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_basket_parts_amount_positive")),
        sa.CheckConstraint("said = 0 OR said = amount", name=op.f("ck_basket_parts_amount_as_said")),
        sa.CheckConstraint("ended IN ('cancelled', 'expired')", name=op.f("ck_basket_parts_ended_known")),
        sa.ForeignKeyConstraint(["basket"], ["baskets.id"], name=op.f("fk_basket_parts_basket_baskets")),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_basket_parts_clerk_clerks")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_basket_parts_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_basket_parts")),
    )
    op.create_index("ix_basket_parts_basket", "basket_parts", ["basket", "number"], unique=True)
    op.create_table(
        "basket_refunds",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("basket", sa.LargeBinary(16), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=True),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["basket"], ["baskets.id"], name=op.f("fk_basket_refunds_basket_baskets")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_basket_refunds_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_basket_refunds")),
    )
    op.create_index("ix_basket_refunds_basket", "basket_refunds", ["basket"])
    op.create_table(
        "basket_legs",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("refund", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("part", sa.LargeBinary(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("refusal", sa.String(length=40), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_basket_legs_amount_positive")),
        sa.ForeignKeyConstraint(["refund"], ["basket_refunds.id"], name=op.f("fk_basket_legs_refund_basket_refunds")),
        sa.ForeignKeyConstraint(["part"], ["basket_parts.id"], name=op.f("fk_basket_legs_part_basket_parts")),
        sa.PrimaryKeyConstraint("payment", name=op.f("pk_basket_legs")),
    )
    op.create_index("ix_basket_legs_refund", "basket_legs", ["refund", "number"], unique=True)
