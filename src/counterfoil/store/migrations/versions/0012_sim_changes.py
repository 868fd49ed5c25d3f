"""Changes of SIM that we were told of, and for how long they hold payments by PIN back.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sim_changes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("party", sa.LargeBinary(16), nullable=False),
        sa.Column("source", sa.String(length=48), nullable=False),
        sa.Column("by", sa.LargeBinary(16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.LargeBinary(16), nullable=True),
        sa.ForeignKeyConstraint(["party"], ["parties.id"], name=op.f("fk_sim_changes_party_parties")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sim_changes")),
    )
    with op.batch_alter_table("sim_changes", schema=None) as batch_op:
        batch_op.create_index("ix_sim_changes_party", ["party", "until"], unique=False)
