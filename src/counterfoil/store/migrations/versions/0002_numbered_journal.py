"""The party journal is numbered.

Until here its order was that of SQLite's own row numbers, and the publisher's position in it was one of them: the numbers
stay what they were. No other database has ever had this form with rows in it; there, ids are in the order of time.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("party_events", sa.Column("number", sa.BigInteger(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("UPDATE party_events SET number = rowid")
    else:
        op.execute("UPDATE party_events SET number = (SELECT count(*) FROM party_events AS earlier WHERE earlier.id <= party_events.id)")
    with op.batch_alter_table("party_events", schema=None) as batch_op:
        batch_op.alter_column("number", existing_type=sa.BigInteger(), nullable=False)
        batch_op.create_unique_constraint(op.f("uq_party_events_number"), ["number"])
