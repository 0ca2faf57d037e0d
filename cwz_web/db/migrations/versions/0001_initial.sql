-- The schema of ConnectWyze, after Procrastinate's own (see 0001_initial.py).
--
-- Tables, then row-level security, functions and triggers. Every table with a workspace_id shows only the rows of the
-- workspace that the transaction has entered (cwz_web/db/row_security.py).

CREATE TABLE accounts (
    id UUID NOT NULL,
    email VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    password_hash VARCHAR,
    sign_up_visitor_digest VARCHAR,
    epoch INTEGER NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE,
    signed_in_at TIMESTAMP WITH TIME ZONE,
    encrypted_totp_secret BYTEA,
    totp_confirmed_at TIMESTAMP WITH TIME ZONE,
    totp_last_step INTEGER,
    delete_at TIMESTAMP WITH TIME ZONE,
    unsubscribed_topics JSONB DEFAULT '["runs"]' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (id)
);
CREATE INDEX ix_accounts_delete_at ON accounts (delete_at);
CREATE UNIQUE INDEX uq_accounts_email_lower ON accounts (lower(email));

CREATE TABLE backups (
    name VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    size BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    copied BOOLEAN DEFAULT false NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE,
    error_message VARCHAR,
    CONSTRAINT pk_backups PRIMARY KEY (name)
);

CREATE TABLE billing_records (
    workspace_id UUID NOT NULL,
    id VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    number VARCHAR,
    status VARCHAR NOT NULL,
    amount BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    currency VARCHAR NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_billing_records PRIMARY KEY (workspace_id, id),
    CONSTRAINT ck_billing_records_type CHECK (type IN ('invoice', 'dispute'))
);
CREATE INDEX ix_billing_records_issued_at ON billing_records (issued_at);

CREATE TABLE sort_index (
    workspace_id UUID NOT NULL,
    feed_id UUID NOT NULL,
    sort VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    position INTEGER NOT NULL,
    CONSTRAINT pk_sort_index PRIMARY KEY (workspace_id, feed_id, sort, revision, rank)
);

CREATE TABLE item_versions (
    workspace_id UUID NOT NULL,
    feed_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    data JSONB NOT NULL,
    removed BOOLEAN NOT NULL,
    replaced_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_item_versions PRIMARY KEY (workspace_id, feed_id, key, revision)
);
CREATE INDEX ix_item_versions_workspace_id_feed_id_revision ON item_versions (workspace_id, feed_id, revision);

CREATE TABLE items (
    workspace_id UUID NOT NULL,
    feed_id UUID NOT NULL,
    position INTEGER NOT NULL,
    key VARCHAR NOT NULL,
    data JSONB NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE,
    revision INTEGER DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_items PRIMARY KEY (workspace_id, feed_id, position),
    CONSTRAINT uq_items_workspace_id_feed_id_key UNIQUE (workspace_id, feed_id, key)
);

CREATE TABLE render_messages (
    id VARCHAR NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_render_messages PRIMARY KEY (id)
);
CREATE INDEX ix_render_messages_received_at ON render_messages (received_at);

CREATE TABLE stripe_events (
    id VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    object_id VARCHAR,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_stripe_events PRIMARY KEY (id)
);
CREATE INDEX ix_stripe_events_received_at ON stripe_events (received_at);

CREATE TABLE tombstones (
    id UUID NOT NULL,
    type VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    with_images BOOLEAN DEFAULT false NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    purge_at TIMESTAMP WITH TIME ZONE NOT NULL,
    purged_at TIMESTAMP WITH TIME ZONE,
    report JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_tombstones PRIMARY KEY (id),
    CONSTRAINT ck_tombstones_type CHECK (type IN ('workspace', 'account'))
);
CREATE INDEX ix_tombstones_purge_at ON tombstones (purge_at) WHERE purged_at IS NULL;

CREATE TABLE workspaces (
    id UUID NOT NULL,
    slug VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    second_factor_required BOOLEAN DEFAULT false NOT NULL,
    signing_key_number INTEGER DEFAULT '1' NOT NULL,
    oldest_signing_key_number INTEGER DEFAULT '1' NOT NULL,
    plan VARCHAR DEFAULT 'free' NOT NULL,
    read_only_from TIMESTAMP WITH TIME ZONE,
    audit_deleted_through BIGINT DEFAULT '0' NOT NULL,
    audit_chain_digest VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workspaces PRIMARY KEY (id),
    CONSTRAINT uq_workspaces_slug UNIQUE (slug)
);

CREATE TABLE api_keys (
    name VARCHAR NOT NULL,
    prefix VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    scopes JSONB DEFAULT '["generate"]' NOT NULL,
    requests_per_minute INTEGER,
    images_per_month INTEGER,
    templates JSONB DEFAULT '[]' NOT NULL,
    origins JSONB DEFAULT '[]' NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_api_keys PRIMARY KEY (workspace_id, id),
    CONSTRAINT uq_api_keys_digest UNIQUE (digest),
    CONSTRAINT fk_api_keys_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE audit_entries (
    workspace_id UUID NOT NULL,
    number BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor_id UUID,
    actor VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    details JSONB NOT NULL,
    ip_address VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    CONSTRAINT pk_audit_entries PRIMARY KEY (workspace_id, number),
    CONSTRAINT fk_audit_entries_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_audit_entries_action ON audit_entries (workspace_id, action, number);
CREATE INDEX ix_audit_entries_actor ON audit_entries (workspace_id, actor_id, number);

CREATE TABLE connections (
    name VARCHAR NOT NULL,
    provider VARCHAR NOT NULL,
    settings JSONB NOT NULL,
    encrypted_credentials BYTEA,
    is_default BOOLEAN NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE,
    error_message VARCHAR,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_connections PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_connections_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_connections_default ON connections (workspace_id) WHERE is_default;

CREATE TABLE feeds (
    name VARCHAR NOT NULL,
    file_name VARCHAR NOT NULL,
    columns JSONB NOT NULL,
    schema JSONB DEFAULT '{}' NOT NULL,
    notes JSONB NOT NULL,
    item_count INTEGER NOT NULL,
    imported_at TIMESTAMP WITH TIME ZONE,
    import_number INTEGER DEFAULT '0' NOT NULL,
    revision INTEGER DEFAULT '0' NOT NULL,
    max_removed_percent INTEGER DEFAULT '50' NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_feeds PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_feeds_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE fonts (
    digest VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    style VARCHAR NOT NULL,
    size INTEGER NOT NULL,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_fonts PRIMARY KEY (workspace_id, id),
    CONSTRAINT uq_fonts_workspace_id_digest UNIQUE (workspace_id, digest),
    CONSTRAINT fk_fonts_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE idempotency_keys (
    workspace_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    status INTEGER,
    headers JSONB,
    body BYTEA,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (workspace_id, key),
    CONSTRAINT fk_idempotency_keys_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_idempotency_keys_workspace_id_started_at ON idempotency_keys (workspace_id, started_at);

CREATE TABLE invitations (
    email VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    digest VARCHAR,
    invited_by UUID,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_invitations PRIMARY KEY (workspace_id, id),
    CONSTRAINT ck_invitations_role CHECK (role IN ('admin', 'support', 'user')),
    CONSTRAINT uq_invitations_digest UNIQUE (digest),
    CONSTRAINT fk_invitations_invited_by_accounts FOREIGN KEY(invited_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_invitations_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_invitations_email ON invitations (lower(email));
CREATE UNIQUE INDEX uq_invitations_open ON invitations (workspace_id, lower(email)) WHERE ended_at IS NULL;

CREATE TABLE memberships (
    workspace_id UUID NOT NULL,
    account_id UUID NOT NULL,
    role VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_memberships PRIMARY KEY (workspace_id, account_id),
    CONSTRAINT ck_memberships_role CHECK (role IN ('admin', 'support', 'user')),
    CONSTRAINT fk_memberships_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    CONSTRAINT fk_memberships_account_id_accounts FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
);
CREATE INDEX ix_memberships_account_id ON memberships (account_id);

CREATE TABLE external_identities (
    issuer VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    account_id UUID NOT NULL,
    email VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_external_identities PRIMARY KEY (issuer, subject),
    CONSTRAINT fk_external_identities_account_id_accounts
        FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
);
CREATE INDEX ix_external_identities_account_id ON external_identities (account_id);

CREATE TABLE recovery_codes (
    account_id UUID NOT NULL,
    digest VARCHAR NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (account_id, digest),
    CONSTRAINT fk_recovery_codes_account_id_accounts FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
);

CREATE TABLE login_sessions (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    authenticated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ip_address VARCHAR NOT NULL,
    user_agent VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_login_sessions PRIMARY KEY (id),
    CONSTRAINT fk_login_sessions_account_id_accounts FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
);
CREATE INDEX ix_login_sessions_account_id ON login_sessions (account_id);

CREATE TABLE slack_links (
    workspace_id UUID NOT NULL,
    team VARCHAR NOT NULL,
    team_id VARCHAR NOT NULL,
    encrypted_token BYTEA NOT NULL,
    channel_id VARCHAR,
    channel VARCHAR,
    events JSONB NOT NULL,
    error_message VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_slack_links PRIMARY KEY (workspace_id),
    CONSTRAINT fk_slack_links_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE subscriptions (
    workspace_id UUID NOT NULL,
    customer VARCHAR,
    subscription VARCHAR,
    status VARCHAR DEFAULT 'none' NOT NULL,
    unpaid_since TIMESTAMP WITH TIME ZONE,
    period_ends_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    synced_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_subscriptions PRIMARY KEY (workspace_id),
    CONSTRAINT fk_subscriptions_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    CONSTRAINT uq_subscriptions_customer UNIQUE (customer)
);

CREATE TABLE tokens (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    purpose VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    email VARCHAR,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tokens PRIMARY KEY (id),
    CONSTRAINT ck_tokens_purpose CHECK (purpose IN ('verify', 'reset', 'email')),
    CONSTRAINT fk_tokens_account_id_accounts FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE,
    CONSTRAINT uq_tokens_digest UNIQUE (digest)
);
CREATE UNIQUE INDEX uq_tokens_account_id_purpose ON tokens (account_id, purpose);

CREATE TABLE usage (
    workspace_id UUID NOT NULL,
    subject_id UUID NOT NULL,
    month DATE NOT NULL,
    used BIGINT NOT NULL,
    CONSTRAINT pk_usage PRIMARY KEY (workspace_id, subject_id, month),
    CONSTRAINT ck_usage_used CHECK (used >= 0),
    CONSTRAINT fk_usage_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE usage_days (
    workspace_id UUID NOT NULL,
    day DATE NOT NULL,
    used BIGINT NOT NULL,
    CONSTRAINT pk_usage_days PRIMARY KEY (workspace_id, day),
    CONSTRAINT fk_usage_days_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE webhooks (
    url VARCHAR NOT NULL,
    events JSONB NOT NULL,
    active BOOLEAN DEFAULT 'true' NOT NULL,
    error_message VARCHAR,
    secret_number INTEGER DEFAULT '1' NOT NULL,
    oldest_secret_number INTEGER DEFAULT '1' NOT NULL,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhooks PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_webhooks_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE webhook_deliveries (
    webhook_id UUID,
    url VARCHAR NOT NULL,
    event VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    status INTEGER,
    last_response VARCHAR,
    attempted_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_webhook_deliveries_workspace_id_webhook_id_webhooks
        FOREIGN KEY(workspace_id, webhook_id) REFERENCES webhooks (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_webhook_deliveries_state CHECK (state IN ('pending', 'delivered', 'failed')),
    CONSTRAINT fk_webhook_deliveries_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_webhook_deliveries_created_at ON webhook_deliveries (workspace_id, created_at);
CREATE INDEX ix_webhook_deliveries_webhook ON webhook_deliveries (workspace_id, webhook_id, id);

CREATE TABLE feed_imports (
    feed_id UUID NOT NULL,
    number INTEGER NOT NULL,
    file_name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    fetched BOOLEAN DEFAULT 'false' NOT NULL,
    confirmed BOOLEAN DEFAULT 'false' NOT NULL,
    columns JSONB NOT NULL,
    notes JSONB NOT NULL,
    added INTEGER DEFAULT '0' NOT NULL,
    changed INTEGER DEFAULT '0' NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    removed INTEGER DEFAULT '0' NOT NULL,
    invalid INTEGER DEFAULT '0' NOT NULL,
    rows_read INTEGER DEFAULT '0' NOT NULL,
    percent INTEGER DEFAULT '0' NOT NULL,
    error_message VARCHAR,
    revision INTEGER,
    started_by UUID,
    finished_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_feed_imports PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_feed_imports_workspace_id_feed_id_feeds
        FOREIGN KEY(workspace_id, feed_id) REFERENCES feeds (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_feed_imports_workspace_id_feed_id_number UNIQUE (workspace_id, feed_id, number),
    CONSTRAINT ck_feed_imports_state CHECK
        (state IN ('draft', 'queued', 'needs_review', 'applied', 'unchanged', 'discarded', 'failed')),
    CONSTRAINT fk_feed_imports_started_by_accounts FOREIGN KEY(started_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_feed_imports_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE feed_sources (
    workspace_id UUID NOT NULL,
    feed_id UUID NOT NULL,
    url VARCHAR NOT NULL,
    username VARCHAR NOT NULL,
    header VARCHAR NOT NULL,
    encrypted_secret BYTEA,
    cron VARCHAR,
    time_zone VARCHAR DEFAULT 'UTC' NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE,
    etag VARCHAR,
    last_modified VARCHAR,
    digest VARCHAR NOT NULL,
    fetched_at TIMESTAMP WITH TIME ZONE,
    failures INTEGER NOT NULL,
    error_message VARCHAR,
    CONSTRAINT pk_feed_sources PRIMARY KEY (workspace_id, feed_id),
    CONSTRAINT fk_feed_sources_workspace_id_feed_id_feeds
        FOREIGN KEY(workspace_id, feed_id) REFERENCES feeds (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_feed_sources_next_at ON feed_sources (next_at);

CREATE TABLE templates (
    slug VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    connection_id UUID,
    step INTEGER DEFAULT '0' NOT NULL,
    unsigned_parameters JSONB,
    deleted_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_templates PRIMARY KEY (workspace_id, id),
    CONSTRAINT uq_templates_workspace_id_slug UNIQUE (workspace_id, slug),
    CONSTRAINT fk_templates_workspace_id_connection_id_connections
        FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
    CONSTRAINT fk_templates_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_templates_id ON templates (id);

CREATE TABLE auto_runs (
    feed_id UUID NOT NULL,
    template_id UUID NOT NULL,
    connection_id UUID,
    mapping JSONB NOT NULL,
    outputs JSONB NOT NULL,
    revision INTEGER NOT NULL,
    error_message VARCHAR,
    started_by UUID,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_auto_runs PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_auto_runs_workspace_id_feed_id_feeds
        FOREIGN KEY(workspace_id, feed_id) REFERENCES feeds (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_auto_runs_workspace_id_template_id_templates
        FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_auto_runs_workspace_id_connection_id_connections
        FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
    CONSTRAINT uq_auto_runs_workspace_id_feed_id_template_id UNIQUE (workspace_id, feed_id, template_id),
    CONSTRAINT fk_auto_runs_started_by_accounts FOREIGN KEY(started_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_auto_runs_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE file_parts (
    workspace_id UUID NOT NULL,
    import_id UUID NOT NULL,
    part INTEGER NOT NULL,
    data BYTEA NOT NULL,
    CONSTRAINT pk_file_parts PRIMARY KEY (workspace_id, import_id, part),
    CONSTRAINT fk_file_parts_workspace_id_import_id_feed_imports
        FOREIGN KEY(workspace_id, import_id) REFERENCES feed_imports (workspace_id, id) ON DELETE CASCADE
);
-- Compressed files gain nothing from TOAST compression.
ALTER TABLE file_parts ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE images (
    digest VARCHAR NOT NULL,
    connection_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size INTEGER NOT NULL,
    template_id UUID NOT NULL,
    template_version INTEGER NOT NULL,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_images PRIMARY KEY (workspace_id, id),
    CONSTRAINT uq_images_workspace_id_digest UNIQUE (workspace_id, digest),
    CONSTRAINT fk_images_workspace_id_connection_id_connections
        FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
    CONSTRAINT fk_images_workspace_id_template_id_templates
        FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id),
    CONSTRAINT fk_images_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_images_connection ON images (workspace_id, connection_id, size);
CREATE INDEX ix_images_template ON images (workspace_id, template_id, id);

CREATE TABLE invalid_rows (
    workspace_id UUID NOT NULL,
    import_id UUID NOT NULL,
    number INTEGER NOT NULL,
    line INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    data JSON NOT NULL,
    CONSTRAINT pk_invalid_rows PRIMARY KEY (workspace_id, import_id, number),
    CONSTRAINT fk_invalid_rows_workspace_id_import_id_feed_imports
        FOREIGN KEY(workspace_id, import_id) REFERENCES feed_imports (workspace_id, id) ON DELETE CASCADE
);

CREATE TABLE runs (
    feed_id UUID,
    template_id UUID NOT NULL,
    template_version INTEGER NOT NULL,
    connection_id UUID NOT NULL,
    mapping JSONB NOT NULL,
    outputs JSONB NOT NULL,
    prepared BOOLEAN DEFAULT true NOT NULL,
    error_message VARCHAR,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    key_id UUID,
    usage_month DATE DEFAULT date_trunc('month', now())::date NOT NULL,
    canceled_at TIMESTAMP WITH TIME ZONE,
    rendering_seconds DOUBLE PRECISION DEFAULT '0' NOT NULL,
    webhook VARCHAR,
    started_by UUID,
    finished_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_runs_workspace_id_feed_id_feeds
        FOREIGN KEY(workspace_id, feed_id) REFERENCES feeds (workspace_id, id),
    CONSTRAINT fk_runs_workspace_id_template_id_templates
        FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id),
    CONSTRAINT fk_runs_workspace_id_connection_id_connections
        FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
    CONSTRAINT ck_runs_counts CHECK (done + failed <= total),
    CONSTRAINT fk_runs_started_by_accounts FOREIGN KEY(started_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_runs_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX ix_runs_template ON runs (workspace_id, template_id, id);
CREATE INDEX ix_runs_unfinished ON runs (workspace_id, id) WHERE finished_at IS NULL;

CREATE TABLE template_steps (
    workspace_id UUID NOT NULL,
    template_id UUID NOT NULL,
    number INTEGER NOT NULL,
    change VARCHAR NOT NULL,
    document JSONB NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_template_steps PRIMARY KEY (workspace_id, template_id, number),
    CONSTRAINT fk_template_steps_workspace_id_template_id_templates
        FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id) ON DELETE CASCADE
);

CREATE TABLE template_versions (
    template_id UUID NOT NULL,
    number INTEGER NOT NULL,
    document JSONB NOT NULL,
    published_by UUID,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_template_versions PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_template_versions_workspace_id_template_id_templates
        FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_template_versions_workspace_id_template_id_number UNIQUE (workspace_id, template_id, number),
    CONSTRAINT fk_template_versions_published_by_accounts
        FOREIGN KEY(published_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_template_versions_workspace_id_workspaces
        FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE exports (
    requested_by UUID,
    run_id UUID,
    with_images BOOLEAN NOT NULL,
    state VARCHAR DEFAULT 'pending' NOT NULL,
    percent INTEGER DEFAULT '0' NOT NULL,
    error_message VARCHAR,
    connection_id UUID,
    key VARCHAR,
    size BIGINT,
    finished_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_exports PRIMARY KEY (workspace_id, id),
    CONSTRAINT fk_exports_workspace_id_run_id_runs
        FOREIGN KEY(workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_exports_state CHECK (state IN ('pending', 'done', 'failed', 'expired')),
    CONSTRAINT fk_exports_requested_by_accounts FOREIGN KEY(requested_by) REFERENCES accounts (id) ON DELETE SET NULL,
    CONSTRAINT fk_exports_workspace_id_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE run_items (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    position INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    output INTEGER DEFAULT '0' NOT NULL,
    key VARCHAR NOT NULL,
    data JSONB NOT NULL,
    state VARCHAR DEFAULT 'pending' NOT NULL,
    error VARCHAR,
    warning VARCHAR,
    image_id UUID,
    CONSTRAINT pk_run_items PRIMARY KEY (workspace_id, run_id, position),
    CONSTRAINT fk_run_items_workspace_id_run_id_runs
        FOREIGN KEY(workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_run_items_workspace_id_image_id_images
        FOREIGN KEY(workspace_id, image_id) REFERENCES images (workspace_id, id),
    CONSTRAINT ck_run_items_state CHECK (state IN ('pending', 'done', 'failed'))
);
CREATE INDEX ix_run_items_failed ON run_items (workspace_id, run_id, position) WHERE state = 'failed';
CREATE INDEX ix_run_items_warnings ON run_items (workspace_id, run_id) WHERE warning IS NOT NULL;
CREATE INDEX ix_run_items_workspace_id_image_id ON run_items (workspace_id, image_id);
CREATE INDEX ix_run_items_workspace_id_key_run_id ON run_items (workspace_id, key, run_id);
CREATE INDEX ix_run_items_workspace_id_run_id_chunk ON run_items (workspace_id, run_id, chunk);


-- Row-level security: each workspace sees its own rows.

DO $$
DECLARE protected text;
BEGIN
    FOREACH protected IN ARRAY ARRAY[
        'api_keys', 'audit_entries', 'auto_runs', 'billing_records', 'connections', 'webhook_deliveries',
        'exports', 'feed_imports', 'feed_sources', 'feeds', 'file_parts', 'fonts',
        'idempotency_keys', 'images', 'invalid_rows', 'invitations', 'sort_index', 'item_versions',
        'items', 'memberships', 'run_items', 'runs', 'slack_links', 'subscriptions',
        'template_steps', 'template_versions', 'templates', 'usage', 'usage_days', 'webhooks',
        'workspaces'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', protected);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', protected);
        EXECUTE format(
            'CREATE POLICY tenant ON %1$I'
            ' USING (%2$s = nullif(current_setting(''cwz.workspace_id'', true), '''')::uuid)'
            ' WITH CHECK (%2$s = nullif(current_setting(''cwz.workspace_id'', true), '''')::uuid)',
            protected, CASE protected WHEN 'workspaces' THEN 'id' ELSE 'workspace_id' END);
    END LOOP;
END $$;

-- What the SECURITY DEFINER functions below read across workspaces, as the owner; deleted workspaces are excluded.
CREATE POLICY cross_workspace ON api_keys FOR SELECT TO CURRENT_USER
    USING (NOT EXISTS (SELECT FROM tombstones t WHERE t.id = api_keys.workspace_id));
CREATE POLICY cross_workspace ON connections FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON exports FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON feed_sources FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON invitations FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON memberships FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON run_items FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON runs FOR SELECT TO CURRENT_USER
    USING (NOT EXISTS (SELECT FROM tombstones t WHERE t.id = runs.workspace_id));
CREATE POLICY cross_workspace ON slack_links FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON subscriptions FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON templates FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY cross_workspace ON workspaces FOR SELECT TO CURRENT_USER
    USING (NOT EXISTS (SELECT FROM tombstones t WHERE t.id = workspaces.id));
CREATE POLICY retention ON billing_records TO CURRENT_USER USING (true);

-- Functions.

CREATE FUNCTION all_connections() RETURNS TABLE(workspace_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$ SELECT c.workspace_id, c.id FROM connections c ORDER BY c.workspace_id, c.id $$;
REVOKE ALL ON FUNCTION all_connections FROM PUBLIC;

CREATE FUNCTION all_workspaces() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$ SELECT w.id FROM workspaces w ORDER BY w.id $$;
REVOKE ALL ON FUNCTION all_workspaces FROM PUBLIC;

CREATE FUNCTION check_feed_exists() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
        BEGIN
            IF EXISTS (SELECT FROM (SELECT DISTINCT workspace_id, feed_id FROM inserted) AS i
                       WHERE NOT EXISTS (SELECT FROM feeds f
                                         WHERE f.workspace_id = i.workspace_id AND f.id = i.feed_id)) THEN
                RAISE foreign_key_violation USING MESSAGE = 'feed of ' || TG_TABLE_NAME || ' does not exist';
            END IF;
            RETURN NULL;
        END $$;

CREATE FUNCTION update_daily_usage() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
    DECLARE
        more bigint := NEW.used - CASE WHEN TG_OP = 'UPDATE' THEN OLD.used ELSE 0 END;
    BEGIN
        INSERT INTO usage_days AS d (workspace_id, day, used)
        VALUES (NEW.workspace_id, (now() AT TIME ZONE 'UTC')::date, greatest(more, 0))
        ON CONFLICT (workspace_id, day) DO UPDATE SET used = greatest(d.used + more, 0);
        RETURN NULL;
    END $$;
REVOKE ALL ON FUNCTION update_daily_usage FROM PUBLIC;

CREATE FUNCTION find_stripe_customers(stripe_customer varchar) RETURNS TABLE(workspace_id uuid, customer varchar)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT s.workspace_id, s.customer FROM subscriptions s
        WHERE s.customer = stripe_customer OR (stripe_customer IS NULL AND s.customer IS NOT NULL)
    $$;
REVOKE ALL ON FUNCTION find_stripe_customers FROM PUBLIC;

CREATE FUNCTION deletions_of(account uuid) RETURNS SETOF tombstones
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT t.* FROM tombstones t JOIN memberships m ON m.workspace_id = t.id
        WHERE m.account_id = account AND m.role = 'admin' AND t.purged_at IS NULL
        ORDER BY lower(t.name), t.id
    $$;
REVOKE ALL ON FUNCTION deletions_of FROM PUBLIC;

CREATE FUNCTION find_due_feeds() RETURNS TABLE(workspace_id uuid, feed_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT s.workspace_id, s.feed_id FROM feed_sources s JOIN workspaces w ON w.id = s.workspace_id
        WHERE s.next_at <= now() ORDER BY s.next_at LIMIT 1000
    $$;
REVOKE ALL ON FUNCTION find_due_feeds FROM PUBLIC;

CREATE FUNCTION workspace_outcomes_of(account uuid) RETURNS TABLE(
    workspace_id uuid, slug varchar, name varchar, role varchar, other_admins bigint, others bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT w.id, w.slug, w.name, m.role,
            (SELECT count(*) FROM memberships o
             WHERE o.workspace_id = w.id AND o.account_id <> account AND o.role = 'admin'),
            (SELECT count(*) FROM memberships o WHERE o.workspace_id = w.id AND o.account_id <> account)
        FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
        WHERE m.account_id = account ORDER BY lower(w.name), w.slug
    $$;
REVOKE ALL ON FUNCTION workspace_outcomes_of FROM PUBLIC;

CREATE FUNCTION find_api_key(key_digest varchar) RETURNS TABLE(
    id uuid, workspace_id uuid, name varchar, prefix varchar, scopes jsonb, templates jsonb, origins jsonb,
    requests_per_minute integer, images_per_month integer, last_used_at timestamptz, plan varchar, unpaid boolean,
    read_only boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, public
    AS $$
        BEGIN
            RETURN QUERY SELECT k.id, k.workspace_id, k.name, k.prefix, k.scopes, k.templates, k.origins,
                k.requests_per_minute, k.images_per_month, k.last_used_at,
                w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)
            FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
            WHERE k.digest = key_digest AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
        END $$;
REVOKE ALL ON FUNCTION find_api_key FROM PUBLIC;

-- A template by its id, or by its slug in a workspace, and what decides how its images are rendered. `connections`
-- changes whenever a storage connection of the workspace does.
CREATE FUNCTION find_template_state(by_id uuid, in_workspace uuid, by_slug varchar) RETURNS TABLE(
    workspace_id uuid, template_id uuid, version integer, unsigned_parameters jsonb, oldest_signing_key_number integer,
    signing_key_number integer, connections text, plan varchar, unpaid boolean, read_only boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, public
    AS $$
        BEGIN
            RETURN QUERY SELECT t.workspace_id, t.id, t.version, t.unsigned_parameters, w.oldest_signing_key_number, w.signing_key_number,
                (SELECT md5(string_agg(c::text, '' ORDER BY c.id) || coalesce(t.connection_id::text, ''))
                 FROM connections c WHERE c.workspace_id = t.workspace_id),
                w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)
            FROM templates t JOIN workspaces w ON w.id = t.workspace_id
            WHERE t.deleted_at IS NULL AND (in_workspace IS NULL OR t.workspace_id = in_workspace)
                AND t.id = coalesce(by_id, (
                    SELECT n.id FROM templates n WHERE n.workspace_id = in_workspace AND n.slug = by_slug));
        END $$;
REVOKE ALL ON FUNCTION find_template_state FROM PUBLIC;

CREATE FUNCTION delete_audit_entries(before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    DECLARE
        entered uuid := nullif(current_setting('cwz.workspace_id', true), '')::uuid;
        last audit_entries;
        dropped bigint;
    BEGIN
        SELECT * INTO last FROM audit_entries WHERE workspace_id = entered
            AND at < least(before, now() - interval '90 days')
            AND number < (SELECT max(number) FROM audit_entries WHERE workspace_id = entered)
            ORDER BY number DESC LIMIT 1;
        IF NOT FOUND THEN RETURN 0; END IF;
        UPDATE workspaces SET audit_deleted_through = last.number, audit_chain_digest = last.digest WHERE id = entered;
        DELETE FROM audit_entries WHERE workspace_id = entered AND number <= last.number;
        GET DIAGNOSTICS dropped = ROW_COUNT;
        RETURN dropped;
    END $$;
REVOKE ALL ON FUNCTION delete_audit_entries FROM PUBLIC;

CREATE FUNCTION delete_old_billing_records() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        DELETE FROM billing_records WHERE issued_at < now() - interval '7 years'
    $$;
REVOKE ALL ON FUNCTION delete_old_billing_records FROM PUBLIC;

CREATE FUNCTION delete_feed_rows() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
        BEGIN
            DELETE FROM items t USING deleted d WHERE t.workspace_id = d.workspace_id AND t.feed_id = d.id;
            DELETE FROM item_versions t USING deleted d WHERE t.workspace_id = d.workspace_id AND t.feed_id = d.id;
            DELETE FROM sort_index t USING deleted d WHERE t.workspace_id = d.workspace_id AND t.feed_id = d.id;
            RETURN NULL;
        END $$;

CREATE FUNCTION find_image_usage(this_month date, workspace uuid, key uuid, OUT used bigint, OUT key_used bigint)
    RETURNS record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
        BEGIN
            PERFORM set_config('cwz.workspace_id', workspace::text, true);
            used := (SELECT u.used FROM usage u
                     WHERE u.workspace_id = workspace AND u.subject_id = workspace AND u.month = this_month);
            key_used := (SELECT u.used FROM usage u
                         WHERE u.workspace_id = workspace AND u.subject_id = key AND u.month = this_month);
        END $$;
REVOKE ALL ON FUNCTION find_image_usage FROM PUBLIC;

CREATE FUNCTION orphaned_chunks() RETURNS TABLE(workspace_id uuid, run_id uuid, chunk integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    -- Compared as text: render workers may write the arguments, and one that is no number must not fail the query.
    SELECT workspace::uuid, run::uuid, number::int FROM (
        SELECT r.workspace_id::text AS workspace, r.id::text AS run, i.chunk::text AS number
        FROM runs r JOIN run_items i ON i.workspace_id = r.workspace_id AND i.run_id = r.id AND i.state = 'pending'
        WHERE r.finished_at IS NULL AND r.prepared
        EXCEPT
        SELECT args ->> 'workspace_id', args ->> 'run_id', args ->> 'chunk'
        FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk' AND status IN ('todo', 'doing')
        LIMIT 1000
    ) AS orphaned
    $$;
REVOKE ALL ON FUNCTION orphaned_chunks FROM PUBLIC;

CREATE FUNCTION orphaned_runs() RETURNS TABLE(workspace_id uuid, run_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    SELECT workspace_id, id FROM runs WHERE finished_at IS NULL AND NOT prepared
    EXCEPT
    SELECT (args ->> 'workspace_id')::uuid, (args ->> 'run_id')::uuid
    FROM procrastinate_jobs WHERE task_name = 'runs.prepare' AND status IN ('todo', 'doing')
    LIMIT 1000
    $$;
REVOKE ALL ON FUNCTION orphaned_runs FROM PUBLIC;

CREATE FUNCTION memberships_of(account uuid) RETURNS TABLE(
    workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT w.id, w.slug, w.name, m.role, w.second_factor_required
        FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
        WHERE m.account_id = account ORDER BY lower(w.name), w.slug
    $$;
REVOKE ALL ON FUNCTION memberships_of FROM PUBLIC;

CREATE FUNCTION open_invitations_of(invited_email varchar)
    RETURNS TABLE(workspace_id uuid, id uuid, name varchar, role varchar)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT w.id, i.id, w.name, i.role FROM invitations i JOIN workspaces w ON w.id = i.workspace_id
        WHERE lower(i.email) = lower(invited_email) AND i.ended_at IS NULL AND i.expires_at > now()
        ORDER BY lower(w.name), i.id
    $$;
REVOKE ALL ON FUNCTION open_invitations_of FROM PUBLIC;

CREATE FUNCTION feed_sources_with_secrets() RETURNS TABLE(workspace_id uuid, feed_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT s.workspace_id, s.feed_id FROM feed_sources s
        WHERE s.encrypted_secret IS NOT NULL ORDER BY s.workspace_id, s.feed_id
    $$;
REVOKE ALL ON FUNCTION feed_sources_with_secrets FROM PUBLIC;

CREATE FUNCTION all_slack_links() RETURNS TABLE(workspace_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$ SELECT s.workspace_id FROM slack_links s ORDER BY 1 $$;
REVOKE ALL ON FUNCTION all_slack_links FROM PUBLIC;

CREATE FUNCTION plan_status_of(workspace uuid) RETURNS TABLE(plan varchar, unpaid boolean, read_only boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
        SELECT w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)
        FROM workspaces w WHERE w.id = workspace
    $$;
REVOKE ALL ON FUNCTION plan_status_of FROM PUBLIC;

CREATE FUNCTION expired_exports(before timestamptz) RETURNS TABLE(workspace_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$ SELECT e.workspace_id, e.id FROM exports e WHERE e.created_at < before AND e.state <> 'expired' $$;
REVOKE ALL ON FUNCTION expired_exports FROM PUBLIC;

CREATE FUNCTION workspace_of_invitation(link_digest varchar) RETURNS TABLE(workspace_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$ SELECT i.workspace_id, i.id FROM invitations i WHERE i.digest = link_digest $$;
REVOKE ALL ON FUNCTION workspace_of_invitation FROM PUBLIC;

-- Triggers.

CREATE TRIGGER update_daily_usage AFTER INSERT OR UPDATE OF used ON usage
    FOR EACH ROW WHEN ((new.subject_id = new.workspace_id)) EXECUTE FUNCTION update_daily_usage();
CREATE TRIGGER check_feed AFTER INSERT ON sort_index REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION check_feed_exists();
CREATE TRIGGER check_feed AFTER INSERT ON item_versions REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION check_feed_exists();
CREATE TRIGGER check_feed AFTER INSERT ON items REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION check_feed_exists();
CREATE TRIGGER delete_rows AFTER DELETE ON feeds REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION delete_feed_rows();
