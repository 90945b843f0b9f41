"""Members' own choices: why they left, moves to another address; who suppressed an address, and whole domains."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import BigId, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_leave_reasons()
    _make_address_changes()
    op.add_column("suppressions", sa.Column("source", sa.String(length=12), nullable=False, server_default=""))
    op.add_column("suppressions", sa.Column("actor", sa.String(length=40), nullable=False, server_default=""))
    op.create_table(
        "suppressed_domains",
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("written", sa.String(length=253), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_suppressed_domains")),
    )
    op.create_index(op.f("ix_suppressed_domains_written"), "suppressed_domains", ["written"])


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


def _make_address_changes() -> None:
    op.create_table(
        "address_changes",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("member_id", BigId, nullable=False),
        sa.Column("before", sa.String(length=254), nullable=False),
        sa.Column("before_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("address_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_address_changes_member_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_changes")),
    )
    for column in ("member_id", "before_key", "address_key"):
        op.create_index(op.f(f"ix_address_changes_{column}"), "address_changes", [column])
