"""Images and bytes by connection and template, and the steps of the last test of a connection."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE connections ADD COLUMN test_steps JSONB DEFAULT '[]' NOT NULL;
        CREATE TABLE image_totals (
            workspace_id UUID NOT NULL,
            connection_id UUID NOT NULL,
            template_id UUID NOT NULL,
            images BIGINT NOT NULL,
            size BIGINT NOT NULL,
            CONSTRAINT pk_image_totals PRIMARY KEY (workspace_id, connection_id, template_id),
            CONSTRAINT fk_image_totals_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        ALTER TABLE images NO FORCE ROW LEVEL SECURITY;
        INSERT INTO image_totals
            SELECT workspace_id, connection_id, template_id, count(*), sum(size) FROM images GROUP BY 1, 2, 3;
        ALTER TABLE images FORCE ROW LEVEL SECURITY;
        ALTER TABLE image_totals ENABLE ROW LEVEL SECURITY;
        ALTER TABLE image_totals FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON image_totals
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
        CREATE FUNCTION add_to_image_totals() RETURNS trigger
            LANGUAGE plpgsql
            SET search_path = pg_catalog, public
            AS $$
                BEGIN
                    INSERT INTO image_totals AS t (workspace_id, connection_id, template_id, images, size)
                        SELECT workspace_id, connection_id, template_id, count(*), sum(size) FROM changed
                        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
                        ON CONFLICT (workspace_id, connection_id, template_id)
                        DO UPDATE SET images = t.images + excluded.images, size = t.size + excluded.size;
                    RETURN NULL;
                END $$;
        CREATE FUNCTION subtract_from_image_totals() RETURNS trigger
            LANGUAGE plpgsql
            SET search_path = pg_catalog, public
            AS $$
                BEGIN
                    UPDATE image_totals t SET images = t.images - gone.images, size = t.size - gone.size
                    FROM (SELECT workspace_id, connection_id, template_id, count(*) AS images, sum(size) AS size
                          FROM changed GROUP BY 1, 2, 3) gone
                    WHERE t.workspace_id = gone.workspace_id AND t.connection_id = gone.connection_id
                        AND t.template_id = gone.template_id;
                    RETURN NULL;
                END $$;
        REVOKE ALL ON FUNCTION add_to_image_totals, subtract_from_image_totals FROM PUBLIC;
        CREATE TRIGGER add_to_totals AFTER INSERT ON images REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION add_to_image_totals();
        CREATE TRIGGER subtract_from_totals AFTER DELETE ON images REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION subtract_from_image_totals();
        DROP INDEX ix_images_connection;
        CREATE INDEX ix_images_connection ON images (workspace_id, connection_id)
    """)


def downgrade() -> None:
    op.execute("""
        DROP INDEX ix_images_connection;
        CREATE INDEX ix_images_connection ON images (workspace_id, connection_id, size);
        DROP TRIGGER add_to_totals ON images;
        DROP TRIGGER subtract_from_totals ON images;
        DROP FUNCTION add_to_image_totals;
        DROP FUNCTION subtract_from_image_totals;
        DROP TABLE image_totals;
        ALTER TABLE connections DROP COLUMN test_steps
    """)
