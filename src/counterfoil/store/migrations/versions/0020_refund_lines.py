"""What went back of which line of a sale.

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sale_actions", sa.Column("lines", sa.Text(), nullable=True))
