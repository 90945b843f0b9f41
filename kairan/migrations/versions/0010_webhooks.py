"""Webhooks out of events, and registered sites of the website beacon."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, Document, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("told_status", sa.String(length=10), nullable=True))
    op.execute("UPDATE campaigns SET told_status = status")
    op.create_table(
        "feed",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("campaign_id", BigId, nullable=True),
        sa.Column("member_id", BigId, nullable=True),
        sa.Column("detail", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
    )
    op.create_index(op.f("ix_feed_member_id"), "feed", ["member_id"])
    _make_webhooks()
    _make_sites()


def _make_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("kinds", Document, nullable=False),
        sa.Column("addresses", sa.Boolean(), nullable=False),
        sa.Column("purpose", sa.String(length=500), nullable=False),
        sa.Column("recipient", sa.String(length=500), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("off_reason", sa.String(length=12), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "webhook_posts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("webhook_id", BigId, nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("member_id", BigId, nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("reply", sa.String(length=200), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_posts_webhook_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_posts")),
        sa.UniqueConstraint("message_id", name=op.f("uq_webhook_posts_message_id")),
    )
    op.create_index(op.f("ix_webhook_posts_state_due_at"), "webhook_posts", ["state", "due_at"])
    op.create_index(op.f("ix_webhook_posts_webhook_id_id"), "webhook_posts", ["webhook_id", "id"])
    op.create_index(op.f("ix_webhook_posts_member_id"), "webhook_posts", ["member_id"])


def _make_sites() -> None:
    op.create_table(
        "sites",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=24), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
        sa.UniqueConstraint("host", name=op.f("uq_sites_host")),
        sa.UniqueConstraint("code", name=op.f("uq_sites_code")),
    )
    op.create_table(
        "site_visits",
        sa.Column("site_id", BigId, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("views", BigId, nullable=False),
        sa.Column("known", BigId, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_site_visits_site_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", "day", "path", name=op.f("pk_site_visits")),
    )
    op.create_table(
        "member_visits",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("member_id", BigId, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("site_id", BigId, nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_member_visits_site_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_visits")),
    )
    op.create_index(op.f("ix_member_visits_member_id_at"), "member_visits", ["member_id", "at"])
    op.create_index(op.f("ix_member_visits_at"), "member_visits", ["at"])
