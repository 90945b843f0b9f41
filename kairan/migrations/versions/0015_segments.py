"""Segments, and the campaigns they narrow."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, Document, UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

IN_SIGHT = sa.text("archived_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rule", Document, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
    )
    op.create_index(op.f("ix_segments_name"), "segments", ["name"], unique=True, sqlite_where=IN_SIGHT, postgresql_where=IN_SIGHT)
    op.create_table(
        "campaign_segments",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("segment_id", BigId, nullable=False),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("rule", Document, nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_segments_campaign_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.id"], name=op.f("fk_campaign_segments_segment_id")),
        sa.PrimaryKeyConstraint("campaign_id", "segment_id", "excluded", name=op.f("pk_campaign_segments")),
    )
    op.create_index(op.f("ix_campaign_segments_segment_id"), "campaign_segments", ["segment_id"])
