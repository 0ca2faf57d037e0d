"""What the guard of an import compares, and how a source is fetched."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE feeds ADD COLUMN baseline JSONB;
        ALTER TABLE feed_imports
            ADD COLUMN review_reasons JSONB DEFAULT '[]' NOT NULL,
            ADD COLUMN length_known BOOLEAN DEFAULT true NOT NULL;
        ALTER TABLE feed_sources ADD COLUMN user_agent VARCHAR DEFAULT '' NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE feed_sources DROP COLUMN user_agent;
        ALTER TABLE feed_imports DROP COLUMN length_known, DROP COLUMN review_reasons;
        ALTER TABLE feeds DROP COLUMN baseline
    """)
