"""The tries to settle a stay have numbers: their ids tell the order only as far as the clock does.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_stay_charges_stay", table_name="stay_charges")
    with op.batch_alter_table("stay_charges", schema=None) as batch_op:
        batch_op.add_column(sa.Column("number", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE stay_charges SET number ="
        " (SELECT count(*) FROM stay_charges AS other WHERE other.stay = stay_charges.stay AND other.id <= stay_charges.id)"
    )
    with op.batch_alter_table("stay_charges", schema=None) as batch_op:
        batch_op.alter_column("number", existing_type=sa.Integer(), nullable=False)
    op.create_index("ix_stay_charges_stay", "stay_charges", ["stay", "number"], unique=True)
