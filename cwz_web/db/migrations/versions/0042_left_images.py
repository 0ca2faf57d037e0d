"""Images that left every publication of a campaign. Campaigns that exist keep theirs until people choose otherwise."""

from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE campaigns ADD COLUMN image_days INTEGER DEFAULT 0 NOT NULL, ADD COLUMN stored JSONB;
        CREATE TABLE leaving_images (
            workspace_id UUID NOT NULL,
            campaign_id UUID NOT NULL,
            image_id UUID NOT NULL,
            since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_leaving_images PRIMARY KEY (workspace_id, campaign_id, image_id),
            CONSTRAINT fk_leaving_images_workspace_id_campaign_id_campaigns
                FOREIGN KEY(workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE
        );
        ALTER TABLE leaving_images ENABLE ROW LEVEL SECURITY;
        ALTER TABLE leaving_images FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON leaving_images
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE leaving_images;
        ALTER TABLE campaigns DROP COLUMN image_days, DROP COLUMN stored
    """)
