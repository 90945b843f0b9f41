"""Opens switched apart from clicks, and the campaign parameters that links carry."""

import sqlalchemy as sa
from alembic import op

from kairan.models.base import Document

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("record_opens", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("campaigns", sa.Column("utm", Document, nullable=True))
