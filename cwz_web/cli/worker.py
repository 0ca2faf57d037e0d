"""`cwz worker`: a process that runs every job but rendering: feeds, email, webhooks, exports, maintenance."""

import asyncio
import os

from cwz_web.accounts import tasks as account_tasks
from cwz_web.billing import tasks as billing_tasks
from cwz_web.billing.subscriptions import BillingService
from cwz_web.campaigns import tasks as campaign_tasks
from cwz_web.channels import tasks as channel_tasks
from cwz_web.cli.processes import serve_metrics, stop_with_parent
from cwz_web.db.session import Database
from cwz_web.feeds import tasks as feed_tasks
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.usage import Quotas
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons
from cwz_web.jobs import IO_CONCURRENCY, PREPARE_CONCURRENCY, run_worker, worker_queue_groups
from cwz_web.jobs import tasks as queue_tasks
from cwz_web.net.client import Fetcher
from cwz_web.notify import tasks as notify_tasks
from cwz_web.notify.slack import Slack
from cwz_web.notify.tasks import EmailService
from cwz_web.notify.webhooks import WebhookSender
from cwz_web.ops import tasks as ops_tasks
from cwz_web.ops.backup_store import BackupStore
from cwz_web.ops.retention import RetentionPolicy
from cwz_web.runs import slack_messages
from cwz_web.runs import tasks as run_tasks
from cwz_web.settings import Settings
from cwz_web.shops import tasks as shop_tasks
from cwz_web.storage import tasks as storage_tasks
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.workspaces import tasks as workspace_tasks

# Importing a domain's tasks declares them.
TASKS = (
    account_tasks,
    billing_tasks,
    campaign_tasks,
    channel_tasks,
    feed_tasks,
    notify_tasks,
    ops_tasks,
    queue_tasks,
    run_tasks,
    shop_tasks,
    slack_messages,
    storage_tasks,
    workspace_tasks,
)


def run(settings: Settings, *, with_parent: bool) -> None:
    """Run jobs until SIGINT or SIGTERM.

    Args:
        settings: the settings of the installation.
        with_parent: also stop when the standard input ends.
    """
    if with_parent:
        stop_with_parent()
    install_fonts(settings.node_modules, settings.font_folder)
    install_icons(settings.node_modules)
    fetcher = Fetcher(settings.network.allow)
    url, ring = settings.database.url.get_secret_value(), settings.secrets.key_ring
    signing_secret = settings.secrets.signing.get_secret_value()
    providers = ProviderRegistry.of(settings)
    context = {
        # Jobs of these groups hold a connection for long; the pool allows as many again for the other jobs.
        "database": Database(url, pool_size=IO_CONCURRENCY + PREPARE_CONCURRENCY),
        "email_service": EmailService.of(settings),
        "fetcher": fetcher,
        "ring": ring,
        "providers": providers,
        "feed_sources": SourceRegistry.of(settings),
        "quotas": Quotas(settings.image_limit, settings.url, settings.plan_image_limits),
        "slack": Slack.of(settings),
        "billing": BillingService.of(settings),
        "signed_urls": SignedUrls(signing_secret, settings.url),
        "webhooks": WebhookSender(signing_secret, fetcher),
        "retention": RetentionPolicy.from_settings(settings),
    }
    # A process that may act as the owner of the tables also runs backups.
    maintenance = settings.database.owner_url is not None
    if maintenance:
        context["backup_store"] = BackupStore.from_settings(settings, providers, ring)
    serve_metrics(settings.worker.metrics_address)
    groups = worker_queue_groups(settings.worker.concurrency or os.cpu_count() or 1, maintenance=maintenance)
    asyncio.run(run_worker(url, groups, context))
