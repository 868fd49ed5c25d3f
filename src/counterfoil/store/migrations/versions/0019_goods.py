"""Barcode, department and tax of goods.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("goods", schema=None) as batch_op:
        batch_op.add_column(sa.Column("barcode", sa.String(length=20), server_default="", nullable=False))
        batch_op.add_column(sa.Column("department", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("tax", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_check_constraint(op.f("ck_goods_tax_known"), "tax BETWEEN 0 AND 9999")
    has_one = sa.text("barcode <> ''")
    op.create_index("ix_goods_barcode", "goods", ["account", "barcode"], unique=True, sqlite_where=has_one, postgresql_where=has_one)
