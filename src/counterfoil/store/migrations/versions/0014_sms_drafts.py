"""Texts that change a PIN, that unlock an account, and that are about watchers.

Revision: 0014, after 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sms_drafts", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_sms_drafts_kind_known"), type_="check")
        batch_op.create_check_constraint(op.f("ck_sms_drafts_kind_known"), "kind IN ('pay', 'ask', 'join', 'pin', 'unlock', 'watch')")
