"""Payments by PIN that the shop's own device has countersigned.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payment_countersignatures",
        sa.Column("payment", sa.LargeBinary(16), nullable=False),
        sa.Column("device", sa.LargeBinary(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["payment"], ["payments.id"], name=op.f("fk_payment_countersignatures_payment_payments")),
        sa.PrimaryKeyConstraint("payment", name=op.f("pk_payment_countersignatures")),
    )
    by_pin = sa.text("authorisation = 2 AND kind = 1")
    op.create_index("ix_payments_by_pin", "payments", ["payee", "created_at"], sqlite_where=by_pin, postgresql_where=by_pin)
