"""Plans, what Stripe says about who pays for them, and the records that the law wants kept."""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import crossing, definer, wall

revision = "0021"
down_revision = "0020"

# Seven years, and then they go: whoever asks may not touch them otherwise.
FORGET = """
    CREATE FUNCTION forget_billing_records() RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
        DELETE FROM billing_records WHERE at < now() - interval '7 years'
    $$
"""

# Whatever counts in a month counts on the day, too. What a run gives back is taken off the day on which it does.
COUNT_DAY = """
    CREATE FUNCTION count_day() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    DECLARE
        more bigint := NEW.used - CASE WHEN TG_OP = 'UPDATE' THEN OLD.used ELSE 0 END;
    BEGIN
        INSERT INTO usage_days AS d (workspace_id, day, used)
        VALUES (NEW.workspace_id, (now() AT TIME ZONE 'UTC')::date, greatest(more, 0))
        ON CONFLICT (workspace_id, day) DO UPDATE SET used = greatest(d.used + more, 0);
        RETURN NULL;
    END $$
"""
TRIGGER = """
    CREATE TRIGGER count_day AFTER INSERT OR UPDATE OF used ON usage FOR EACH ROW
    WHEN (NEW.subject_id = NEW.workspace_id) EXECUTE FUNCTION count_day()
"""


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("plan", sa.String(), server_default="free", nullable=False))
    op.add_column("workspaces", sa.Column("read_only_from", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "subscriptions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("customer", sa.String(), nullable=True),
        sa.Column("subscription", sa.String(), nullable=True),
        sa.Column("status", sa.String(), server_default="none", nullable=False),
        sa.Column("unpaid_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_subscriptions_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("customer", name=op.f("uq_subscriptions_customer")),
    )
    op.create_table(
        "billing_records",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('invoice', 'dispute')", name=op.f("ck_billing_records_kind")),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_billing_records")),
    )
    op.create_index("ix_billing_records_at", "billing_records", ["at"])
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=True),
        sa.Column("came_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_events")),
    )
    op.create_index("ix_stripe_events_came_at", "stripe_events", ["came_at"])
    op.create_table(
        "usage_days",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_usage_days_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "day", name=op.f("pk_usage_days")),
    )
    for statement in [
        *wall("usage_days"),
        COUNT_DAY,
        "REVOKE ALL ON FUNCTION count_day() FROM PUBLIC",
        TRIGGER,
        *wall("subscriptions"),
        crossing("subscriptions"),
        *wall("billing_records"),
        "CREATE POLICY forgetting ON billing_records TO CURRENT_USER USING (true)",
        FORGET,
        "REVOKE ALL ON FUNCTION forget_billing_records() FROM PUBLIC",
        *definer(
            "standing_of(workspace uuid)",
            "TABLE (plan varchar, unpaid boolean, read_only boolean)",
            "SELECT w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)"
            " FROM workspaces w WHERE w.id = workspace",
        ),
        *definer(
            "customers(stripe_customer varchar)",
            "TABLE (workspace_id uuid, customer varchar)",
            "SELECT s.workspace_id, s.customer FROM subscriptions s"
            " WHERE s.customer = stripe_customer OR (stripe_customer IS NULL AND s.customer IS NOT NULL)",
        ),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER count_day ON usage")
    op.execute("DROP FUNCTION count_day()")
    op.drop_table("usage_days")
    op.execute("DROP FUNCTION customers(varchar)")
    op.execute("DROP FUNCTION standing_of(uuid)")
    op.execute("DROP FUNCTION forget_billing_records()")
    op.drop_table("stripe_events")
    op.drop_table("billing_records")
    op.drop_table("subscriptions")
    op.drop_column("workspaces", "read_only_from")
    op.drop_column("workspaces", "plan")
