"""The public archive of a list, and labels of campaigns."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lists", sa.Column("public_archive", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("lists", sa.Column("slug", sa.String(length=64), nullable=True))
    op.add_column("lists", sa.Column("changed_at", UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_lists_slug"), "lists", ["slug"], unique=True)
    op.add_column("campaigns", sa.Column("in_archive", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index(op.f("ix_campaign_lists_list_id"), "campaign_lists", ["list_id"])
    op.create_table(
        "campaign_labels",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_labels_campaign_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("campaign_id", "label", name=op.f("pk_campaign_labels")),
    )
    op.create_index(op.f("ix_campaign_labels_label"), "campaign_labels", ["label"])
