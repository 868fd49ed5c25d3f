"""What could not be taken for a fill is asked for.

Revision: 0023, after 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fills", sa.Column("rest", sa.LargeBinary(16), nullable=True))
