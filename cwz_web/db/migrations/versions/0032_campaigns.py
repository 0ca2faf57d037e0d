"""Campaigns: design rules, plans, and publications."""

from alembic import op

revision = "0032"
down_revision = "0031"

_TABLES = ("campaigns", "campaign_rows", "publications", "publication_rows", "publication_changes")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE campaigns (
            name VARCHAR NOT NULL,
            feed_id UUID NOT NULL,
            connection_id UUID,
            outputs JSONB NOT NULL,
            rules JSONB NOT NULL,
            revision INTEGER DEFAULT 0 NOT NULL,
            time_zone VARCHAR DEFAULT 'UTC' NOT NULL,
            selection JSONB DEFAULT '{}' NOT NULL,
            joins JSONB DEFAULT '[]' NOT NULL,
            policy JSONB DEFAULT '{}' NOT NULL,
            photo_column VARCHAR DEFAULT '' NOT NULL,
            is_active BOOLEAN DEFAULT false NOT NULL,
            is_requested BOOLEAN DEFAULT false NOT NULL,
            on_missing_photo VARCHAR DEFAULT 'keep' NOT NULL,
            planned_revision INTEGER DEFAULT -1 NOT NULL,
            planned_feeds JSONB DEFAULT '{}' NOT NULL,
            planned_on DATE,
            plan INTEGER DEFAULT 0 NOT NULL,
            counts JSONB DEFAULT '[]' NOT NULL,
            unclear JSONB DEFAULT '{}' NOT NULL,
            samples JSONB DEFAULT '{}' NOT NULL,
            timeline INTEGER DEFAULT 0 NOT NULL,
            prepared_plan INTEGER DEFAULT -1 NOT NULL,
            prepared_designs JSONB DEFAULT '{}' NOT NULL,
            public_id UUID,
            next_at TIMESTAMP WITH TIME ZONE,
            error_message VARCHAR,
            started_by UUID,
            deleted_at TIMESTAMP WITH TIME ZONE,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_campaigns PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_campaigns_workspace_id_feed_id_feeds
                FOREIGN KEY(workspace_id, feed_id) REFERENCES feeds (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_campaigns_workspace_id_connection_id_connections
                FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
            CONSTRAINT ck_campaigns_on_missing_photo CHECK (on_missing_photo IN ('keep', 'replace', 'fail')),
            CONSTRAINT fk_campaigns_started_by_accounts
                FOREIGN KEY(started_by) REFERENCES accounts (id) ON DELETE SET NULL,
            CONSTRAINT fk_campaigns_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_campaigns_feed ON campaigns (workspace_id, feed_id);
        CREATE INDEX ix_campaigns_next_at ON campaigns (next_at) WHERE next_at IS NOT NULL;
        CREATE TABLE campaign_rows (
            workspace_id UUID NOT NULL,
            campaign_id UUID NOT NULL,
            key VARCHAR NOT NULL,
            designs SMALLINT[] NOT NULL,
            joined JSONB,
            plan INTEGER NOT NULL,
            item_revision INTEGER NOT NULL,
            CONSTRAINT pk_campaign_rows PRIMARY KEY (workspace_id, campaign_id, key)
        );
        CREATE INDEX ix_campaign_rows_plan ON campaign_rows (workspace_id, campaign_id, plan);
        CREATE TABLE publications (
            campaign_id UUID NOT NULL,
            number INTEGER NOT NULL,
            timeline INTEGER NOT NULL,
            designs SMALLINT[] NOT NULL,
            state VARCHAR NOT NULL,
            publish_at TIMESTAMP WITH TIME ZONE,
            base_id UUID,
            rows INTEGER DEFAULT 0 NOT NULL,
            "new" INTEGER DEFAULT 0 NOT NULL,
            changed INTEGER DEFAULT 0 NOT NULL,
            removed INTEGER DEFAULT 0 NOT NULL,
            unchanged INTEGER DEFAULT 0 NOT NULL,
            updated INTEGER DEFAULT 0 NOT NULL,
            kept INTEGER DEFAULT 0 NOT NULL,
            missing INTEGER DEFAULT 0 NOT NULL,
            findings INTEGER DEFAULT 0 NOT NULL,
            design_counts JSONB DEFAULT '{}' NOT NULL,
            reasons JSONB DEFAULT '[]' NOT NULL,
            approvals JSONB DEFAULT '[]' NOT NULL,
            columns JSONB DEFAULT '[]' NOT NULL,
            outputs JSONB NOT NULL,
            rules JSONB NOT NULL,
            published_at TIMESTAMP WITH TIME ZONE,
            published_by UUID,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_publications PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_publications_workspace_id_campaign_id_campaigns
                FOREIGN KEY(workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT ck_publications_state
                CHECK (state IN ('preparing', 'held', 'scheduled', 'published', 'discarded')),
            CONSTRAINT uq_publications_workspace_id_campaign_id_number UNIQUE (workspace_id, campaign_id, number),
            CONSTRAINT fk_publications_published_by_accounts
                FOREIGN KEY(published_by) REFERENCES accounts (id) ON DELETE SET NULL,
            CONSTRAINT fk_publications_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_publications_due ON publications (publish_at) WHERE state = 'scheduled';
        CREATE TABLE publication_rows (
            workspace_id UUID NOT NULL,
            campaign_id UUID NOT NULL,
            key VARCHAR NOT NULL,
            since INTEGER NOT NULL,
            until INTEGER,
            data JSONB NOT NULL,
            designs SMALLINT[] NOT NULL,
            images JSONB NOT NULL,
            decisions JSONB,
            is_faulty BOOLEAN DEFAULT false NOT NULL,
            CONSTRAINT pk_publication_rows PRIMARY KEY (workspace_id, campaign_id, key, since)
        );
        CREATE INDEX ix_publication_rows_faulty ON publication_rows (workspace_id, campaign_id)
            WHERE is_faulty AND until IS NULL;
        CREATE INDEX ix_publication_rows_since ON publication_rows (workspace_id, campaign_id, since);
        CREATE INDEX ix_publication_rows_until ON publication_rows
            (workspace_id, campaign_id, until) WHERE until IS NOT NULL;
        CREATE TABLE publication_changes (
            workspace_id UUID NOT NULL,
            publication_id UUID NOT NULL,
            position INTEGER NOT NULL,
            key VARCHAR NOT NULL,
            kind VARCHAR NOT NULL,
            design SMALLINT,
            base_design SMALLINT,
            images JSONB,
            base_images JSONB,
            state VARCHAR DEFAULT 'ok' NOT NULL,
            differs BOOLEAN DEFAULT true NOT NULL,
            findings INTEGER DEFAULT 0 NOT NULL,
            difference INTEGER,
            CONSTRAINT pk_publication_changes PRIMARY KEY (workspace_id, publication_id, position),
            CONSTRAINT ck_publication_changes_kind CHECK (kind IN ('new', 'changed', 'removed'))
        );
        CREATE INDEX ix_publication_changes_design ON publication_changes
            (workspace_id, publication_id, design, position);
        CREATE INDEX ix_publication_changes_key ON publication_changes (workspace_id, publication_id, key);
        CREATE INDEX ix_publication_changes_kind ON publication_changes (workspace_id, publication_id, kind, position);
        CREATE INDEX ix_publication_changes_state ON publication_changes
            (workspace_id, publication_id, state, position);

        -- The first design of a row among those that count.
        CREATE FUNCTION first_design(designs smallint[], active smallint[]) RETURNS smallint
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $$
                DECLARE design smallint;
                BEGIN
                    FOREACH design IN ARRAY designs LOOP
                        IF design = ANY(active) THEN RETURN design; END IF;
                    END LOOP;
                    RETURN NULL;
                END $$;

        CREATE FUNCTION delete_campaign_rows() RETURNS trigger
            LANGUAGE plpgsql
            SET search_path = pg_catalog, public
            AS $$
                BEGIN
                    DELETE FROM campaign_rows t USING deleted d
                    WHERE t.workspace_id = d.workspace_id AND t.campaign_id = d.id;
                    DELETE FROM publication_rows t USING deleted d
                    WHERE t.workspace_id = d.workspace_id AND t.campaign_id = d.id;
                    RETURN NULL;
                END $$;
        CREATE TRIGGER delete_rows AFTER DELETE ON campaigns REFERENCING OLD TABLE AS deleted
            FOR EACH STATEMENT EXECUTE FUNCTION delete_campaign_rows();
        CREATE FUNCTION delete_publication_changes() RETURNS trigger
            LANGUAGE plpgsql
            SET search_path = pg_catalog, public
            AS $$
                BEGIN
                    DELETE FROM publication_changes t USING deleted d
                    WHERE t.workspace_id = d.workspace_id AND t.publication_id = d.id;
                    RETURN NULL;
                END $$;
        CREATE TRIGGER delete_changes AFTER DELETE ON publications REFERENCING OLD TABLE AS deleted
            FOR EACH STATEMENT EXECUTE FUNCTION delete_publication_changes();

        ALTER TABLE runs ADD COLUMN selection JSONB DEFAULT '{}' NOT NULL;
        ALTER TABLE runs ADD COLUMN campaign_id UUID;
        ALTER TABLE runs ADD COLUMN design SMALLINT;
        CREATE INDEX ix_runs_campaign ON runs (workspace_id, campaign_id, id) WHERE campaign_id IS NOT NULL
    """)
    for table in _TABLES:
        op.execute(f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON {table}
                USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
                WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
        """)
    op.execute("""
        CREATE POLICY cross_workspace ON campaigns FOR SELECT TO CURRENT_USER USING (true);
        CREATE FUNCTION find_due_campaigns() RETURNS TABLE(workspace_id uuid, campaign_id uuid)
            LANGUAGE sql STABLE SECURITY DEFINER
            SET search_path = pg_catalog, public
            AS $$
                SELECT c.workspace_id, c.id FROM campaigns c JOIN workspaces w ON w.id = c.workspace_id
                WHERE c.next_at <= now() AND c.deleted_at IS NULL ORDER BY c.next_at LIMIT 1000
            $$;
        REVOKE ALL ON FUNCTION find_due_campaigns FROM PUBLIC
    """)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION find_due_campaigns;
        ALTER TABLE runs DROP COLUMN selection, DROP COLUMN campaign_id, DROP COLUMN design;
        DROP TABLE publication_changes, publication_rows, publications, campaign_rows, campaigns;
        DROP FUNCTION delete_publication_changes, delete_campaign_rows, first_design
    """)
