"""More can be set aside for a stay, and its driver is reminded before that runs out.

Revision: 0022, after 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stays", sa.Column("look_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("stays", sa.Column("reminded_for", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    inside = sa.text("left_at IS NULL")
    op.create_index("ix_stays_look_at", "stays", ["look_at"], sqlite_where=inside, postgresql_where=inside)
    with op.batch_alter_table("stay_charges", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sale", sa.LargeBinary(16), nullable=True))
        batch_op.drop_constraint(op.f("ck_stay_charges_kind_known"), type_="check")
        batch_op.create_check_constraint(op.f("ck_stay_charges_kind_known"), "kind IN ('sale', 'capture', 'hold')")
