"""Who writes a store that lies on a server: each new one raises the term, so that the one before notices.

A file needs none: the data folder's lock says who writes it.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_lease",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_lease_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_lease")),
    )
    op.execute("INSERT INTO store_lease (id, term) VALUES (1, 0)")
