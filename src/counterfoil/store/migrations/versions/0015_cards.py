"""Cards: whose they are, how far their counters have come, and which tap is for which sale.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cards",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("uid", sa.LargeBinary(length=7), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(length=6), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'locked', 'ended')", name=op.f("ck_cards_state_known")),
        sa.CheckConstraint("counter > 0", name=op.f("ck_cards_counter_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_cards_account_party_accounts")),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_cards_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cards")),
    )
    with op.batch_alter_table("cards", schema=None) as batch_op:
        batch_op.create_index("ix_cards_uid", ["uid"], unique=True)
        batch_op.create_index("ix_cards_account", ["account"], unique=False)
    op.create_table(
        "card_taps",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("card", sa.LargeBinary(16), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("sale", sa.LargeBinary(16), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("rules_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(length=16), nullable=False),
        sa.Column("proved_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["card"], ["cards.id"], name=op.f("fk_card_taps_card_cards")),
        sa.ForeignKeyConstraint(["sale"], ["sales.id"], name=op.f("fk_card_taps_sale_sales")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_taps")),
    )
    with op.batch_alter_table("card_taps", schema=None) as batch_op:
        batch_op.create_index("ix_card_taps_card", ["card", "counter"], unique=True)
        batch_op.create_index("ix_card_taps_sale", ["sale"], unique=False)
