"""Members' own choices: why they left."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, UtcDateTime

revision = "0016"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_leave_reasons()


def _make_leave_reasons() -> None:
    op.create_table(
        "leave_reasons",
        sa.Column("consent_id", BigId, autoincrement=False, nullable=False),
        sa.Column("member_id", BigId, nullable=True),
        sa.Column("campaign_id", BigId, nullable=True),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"], name=op.f("fk_leave_reasons_consent_id")),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_leave_reasons")),
    )
    op.create_index(op.f("ix_leave_reasons_member_id"), "leave_reasons", ["member_id"])
    op.create_index(op.f("ix_leave_reasons_campaign_id"), "leave_reasons", ["campaign_id"])
