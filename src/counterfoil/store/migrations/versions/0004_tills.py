"""Tills: their clerks, goods, sales and days. A request to pay says what may answer it; a PIN may be a clerk's.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("payment_requests", schema=None) as batch_op:
        batch_op.alter_column("cash_in", new_column_name="purpose")
    with op.batch_alter_table("pins", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("fk_pins_party_parties"), type_="foreignkey")

    op.create_table(
        "tills",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary(16), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("code_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("code_by", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paired_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_tills_account_party_accounts")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_tills_party_parties")),
        sa.ForeignKeyConstraint(["token"], ["tokens.id"], name=op.f("fk_tills_token_tokens")),
        sa.ForeignKeyConstraint(["code_by"], ["devices.id"], name=op.f("fk_tills_code_by_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tills")),
    )
    with op.batch_alter_table("tills", schema=None) as batch_op:
        batch_op.create_index("ix_tills_account", ["account"], unique=False)
        batch_op.create_index("ix_tills_token", ["token"], unique=True)
        batch_op.create_index("ix_tills_code_hash", ["code_hash"], unique=True)

    op.create_table(
        "clerks",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rights", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_clerks_account_party_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clerks")),
    )
    with op.batch_alter_table("clerks", schema=None) as batch_op:
        batch_op.create_index("ix_clerks_account", ["account"], unique=False)

    op.create_table(
        "clerk_sessions",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_clerk_sessions_clerk_clerks")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_clerk_sessions_till_tills")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_clerk_sessions")),
    )
    with op.batch_alter_table("clerk_sessions", schema=None) as batch_op:
        batch_op.create_index("ix_clerk_sessions_created", ["created_at"], unique=False)
        batch_op.create_index("ix_clerk_sessions_clerk", ["clerk"], unique=False)

    op.create_table(
        "goods",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_goods_account_party_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goods")),
    )
    with op.batch_alter_table("goods", schema=None) as batch_op:
        batch_op.create_index("ix_goods_account", ["account", "position"], unique=False)

    op.create_table(
        "sales",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("hold", sa.Boolean(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("slip_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_sales_amount_positive")),
        sa.CheckConstraint("number > 0", name=op.f("ck_sales_number_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_sales_account_party_accounts")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_sales_till_tills")),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_sales_clerk_clerks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales")),
    )
    with op.batch_alter_table("sales", schema=None) as batch_op:
        batch_op.create_index("ix_sales_day", ["account", "day", "number"], unique=True)

    op.create_table(
        "sale_actions",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("sale", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('capture', 'release', 'refund')", name=op.f("ck_sale_actions_kind_known")),
        sa.ForeignKeyConstraint(["sale"], ["sales.id"], name=op.f("fk_sale_actions_sale_sales")),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_sale_actions_clerk_clerks")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_sale_actions_till_tills")),
        sa.PrimaryKeyConstraint("payment", name=op.f("pk_sale_actions")),
    )
    with op.batch_alter_table("sale_actions", schema=None) as batch_op:
        batch_op.create_index("ix_sale_actions_sale", ["sale"], unique=False)

    op.create_table(
        "day_closings",
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("clerk", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_day_closings_number_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_day_closings_account_party_accounts")),
        sa.ForeignKeyConstraint(["clerk"], ["clerks.id"], name=op.f("fk_day_closings_clerk_clerks")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_day_closings_till_tills")),
        sa.PrimaryKeyConstraint("account", "number", name=op.f("pk_day_closings")),
    )
    with op.batch_alter_table("day_closings", schema=None) as batch_op:
        batch_op.create_index("ix_day_closings_id", ["id"], unique=True)
        batch_op.create_index("ix_day_closings_day", ["account", "day"], unique=True)
