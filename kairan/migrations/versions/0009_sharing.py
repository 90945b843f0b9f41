"""Report mail, public report links, and figures that are kept."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, Document, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("final_counts", Document, nullable=True))
    op.create_table(
        "stored_figures",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", Document, nullable=False),
        sa.Column("as_of", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stored_figures")),
    )
    op.create_table(
        "report_links",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_by", BigId, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_report_links_campaign_id")),
        sa.ForeignKeyConstraint(["created_by"], ["accounts.id"], name=op.f("fk_report_links_created_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_links")),
        sa.UniqueConstraint("key", name=op.f("uq_report_links_key")),
    )
    op.create_index(op.f("ix_report_links_campaign_id"), "report_links", ["campaign_id"])
    op.create_table(
        "report_mails",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("every", sa.String(length=5), nullable=False),
        sa.Column("after_hours", sa.SmallInteger(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_report_mails_account_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_mails")),
    )
    op.create_index(op.f("ix_report_mails_next_at"), "report_mails", ["next_at"])
    unique = ["account_id", "campaign_id", "every", "after_hours"]
    op.create_index(op.f("ix_report_mails_account_id_campaign_id_every_after_hours"), "report_mails", unique, unique=True)
