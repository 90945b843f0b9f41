"""Schedules: local times, recurrence, send windows."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, Document, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("members", sa.Column("time_zone", sa.String(length=64), nullable=True))
    for column in (
        sa.Column("local_time", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("send_window", Document, nullable=True),
        sa.Column("per_hour", BigId, nullable=True),
        sa.Column("rate_slot", BigId, nullable=False, server_default="0"),
        sa.Column("rate_used", BigId, nullable=False, server_default="0"),
        sa.Column("last_due_at", UtcDateTime(), nullable=True),
        sa.Column("series_id", BigId, nullable=True),
        sa.Column("occurrence", sa.String(length=16), nullable=True),
    ):
        op.add_column("campaigns", column)
    op.create_index(op.f("ix_campaigns_series_id_occurrence"), "campaigns", ["series_id", "occurrence"], unique=True)
    _make_zone_times()
    _make_series()


def _make_zone_times() -> None:
    op.create_table(
        "zone_times",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_zone_times_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "zone", name=op.f("pk_zone_times")),
    )


def _make_series() -> None:
    op.create_table(
        "series",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("pattern_id", BigId, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("rule", Document, nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("next_wall", sa.String(length=16), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("missed", BigId, nullable=False),
        sa.Column("missed_wall", sa.String(length=16), nullable=True),
        sa.Column("created_by", BigId, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["pattern_id"], ["campaigns.id"], name=op.f("fk_series_pattern_id")),
        sa.ForeignKeyConstraint(["created_by"], ["accounts.id"], name=op.f("fk_series_created_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("pattern_id", name=op.f("uq_series_pattern_id")),
    )
    op.create_index(op.f("ix_series_state_next_at"), "series", ["state", "next_at"])
