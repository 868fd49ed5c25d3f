"""Car parks and stays; a till may capture and release by itself.

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sale_actions", schema=None) as batch_op:
        batch_op.alter_column("clerk", existing_type=sa.LargeBinary(16), nullable=True)
    op.create_table(
        "car_parks",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("hold", sa.BigInteger(), nullable=False),
        sa.Column("grace_minutes", sa.Integer(), nullable=False),
        sa.Column("tariff", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("places > 0", name=op.f("ck_car_parks_places_positive")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_car_parks_account_party_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_car_parks")),
    )
    op.create_index("ix_car_parks_account", "car_parks", ["account"])
    op.create_table(
        "stays",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("car_park", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("mark", sa.String(length=40), nullable=True),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hold", sa.BigInteger(), nullable=False),
        sa.Column("grace_minutes", sa.Integer(), nullable=False),
        sa.Column("tariff", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.Column("left_at", sa.BigInteger(), nullable=True),
        sa.Column("passage", sa.LargeBinary(16), nullable=True),
        sa.Column("unpaid", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("(left_at IS NULL) = (passage IS NULL)", name=op.f("ck_stays_left_by_a_passage")),
        sa.CheckConstraint("unpaid >= 0", name=op.f("ck_stays_unpaid_not_negative")),
        sa.ForeignKeyConstraint(["car_park"], ["car_parks.id"], name=op.f("fk_stays_car_park_car_parks")),
        sa.ForeignKeyConstraint(["account"], ["party_accounts.id"], name=op.f("fk_stays_account_party_accounts")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_stays_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stays")),
    )
    inside = sa.text("left_at IS NULL")
    op.create_index("ix_stays_inside", "stays", ["car_park", "id"], sqlite_where=inside, postgresql_where=inside)
    op.create_index("ix_stays_mark", "stays", ["account", "mark"], unique=True, sqlite_where=inside, postgresql_where=inside)
    op.create_table(
        "stay_charges",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("stay", sa.LargeBinary(16), nullable=False),
        sa.Column("till", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=7), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('sale', 'capture')", name=op.f("ck_stay_charges_kind_known")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_stay_charges_amount_not_negative")),
        sa.ForeignKeyConstraint(["stay"], ["stays.id"], name=op.f("fk_stay_charges_stay_stays")),
        sa.ForeignKeyConstraint(["till"], ["tills.id"], name=op.f("fk_stay_charges_till_tills")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stay_charges")),
    )
    op.create_index("ix_stay_charges_stay", "stay_charges", ["stay"])
