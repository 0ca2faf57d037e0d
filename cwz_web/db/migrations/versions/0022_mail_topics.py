"""What a person does not want to be told by mail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("muted", JSONB, server_default='["runs"]', nullable=False))


def downgrade() -> None:
    op.drop_column("accounts", "muted")
