"""Publications: the column of original photos that they show, and when people were last notified."""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE campaigns ADD COLUMN notified_at TIMESTAMP WITH TIME ZONE;
        ALTER TABLE publications ADD COLUMN photo_column VARCHAR DEFAULT '' NOT NULL;
        UPDATE publications AS publication SET photo_column = campaign.photo_column FROM campaigns AS campaign
        WHERE campaign.workspace_id = publication.workspace_id AND campaign.id = publication.campaign_id
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE campaigns DROP COLUMN notified_at;
        ALTER TABLE publications DROP COLUMN photo_column
    """)
