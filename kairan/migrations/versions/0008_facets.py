"""What people's fetches are told apart by: mail client, device, domain, country."""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("device", sa.String(8), nullable=True))
    op.add_column("events", sa.Column("country", sa.String(2), nullable=True))
    op.create_table(
        "facets",
        sa.Column("campaign_id", BIG, nullable=False, autoincrement=False),
        sa.Column("aspect", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("value", sa.String(255), nullable=False),
        *(sa.Column(name, BIG, nullable=False) for name in ("opens", "clicks", "openers", "clickers", "machines")),
        sa.PrimaryKeyConstraint("campaign_id", "aspect", "value", name=op.f("pk_facets")),
    )
