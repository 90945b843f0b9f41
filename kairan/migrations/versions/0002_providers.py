"""Providers made in the UI, their limits and their daily ceilings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

MOMENT = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lanes", sa.Column("provider_id", BIG, nullable=True))
    _extend_providers()
    op.create_table(
        "provider_days",
        sa.Column("provider_id", BIG, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("begins_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("started", BIG, nullable=False),
        sa.Column("ceiling", BIG, nullable=True),
        sa.Column("runs", BIG, nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_provider_days_provider_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("provider_id", "day", name=op.f("pk_provider_days")),
    )
    op.create_table(
        "domain_rates",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("provider_id", BIG, nullable=True),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("domains", DOCUMENT, nullable=True),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name=op.f("fk_domain_rates_provider_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain_rates")),
        sa.UniqueConstraint("provider_id", "name", name=op.f("uq_domain_rates_provider_id_name")),
    )


def _extend_providers() -> None:
    """The defaults are for the row that may be there already: KAIRAN_SMTP_URL's."""
    for column in (
        sa.Column("login", sa.String(length=255), nullable=True),
        sa.Column("password", sa.LargeBinary(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("position", sa.SmallInteger(), nullable=False, server_default="10"),
        sa.Column("weight", sa.SmallInteger(), nullable=False, server_default="1"),
        sa.Column("rate", sa.Float(), nullable=True),
        sa.Column("daily_ceiling", BIG, nullable=True),
        sa.Column("warm_start", BIG, nullable=True),
        sa.Column("warm_factor", sa.Float(), nullable=True),
        sa.Column("warm_target", BIG, nullable=True),
        sa.Column("warm_since", sa.Date(), nullable=True),
    ):
        op.add_column("providers", column)
