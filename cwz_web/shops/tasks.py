"""The jobs of shops."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.campaigns.models import Campaign
from cwz_web.jobs import DEFAULT_QUEUE, SHOPS_QUEUE, app
from cwz_web.shops.models import Shop
from cwz_web.shops.sync import SYNC_TASK, SyncServices, enqueue_sync, enqueue_syncs, sync_shop


@app.task(name=SYNC_TASK, queue=SHOPS_QUEUE, pass_context=True)
def sync(context: JobContext, workspace_id: str, shop_id: str) -> None:
    """Bring a shop up to date. What fails is tried again by `enqueue_due`."""
    extra = context.additional_context
    services = SyncServices(extra["database"], extra["feed_sources"], extra["ring"], extra["signed_urls"])
    sync_shop(services, UUID(workspace_id), UUID(shop_id))


@app.task(name="shops.sync_campaign", queue=DEFAULT_QUEUE, pass_context=True)
def sync_campaign(context: JobContext, workspace_id: str, campaign_id: str) -> None:
    """Enqueue the shops of a campaign after a publication."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        campaign = db.get(Campaign, (workspace, UUID(campaign_id)))
        if campaign:
            enqueue_syncs(db, campaign)


@app.periodic(cron="* * * * *")
@app.task(name="shops.enqueue_due", queueing_lock="shops_due", pass_context=True)
def enqueue_due(context: JobContext, timestamp: int) -> None:
    """Enqueue the shops with products to visit: those that failed, or whose images are being processed."""
    database = context.additional_context["database"]
    with database.transaction() as db:
        due = db.execute(text("SELECT workspace_id, shop_id FROM find_due_shops()")).all()
    for row in due:
        with database.transaction(row.workspace_id) as db:
            shop = db.get(Shop, (row.workspace_id, row.shop_id))
            if shop:
                enqueue_sync(db, shop)
