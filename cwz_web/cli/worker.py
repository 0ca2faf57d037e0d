"""`cwz worker`: a process that renders the chunks of runs."""

import asyncio
import os
import signal
import sys
import threading

from prometheus_client import start_http_server

from cwz_web.accounts import tasks as account_tasks
from cwz_web.billing import tasks as billing_tasks
from cwz_web.billing.subscriptions import BillingService
from cwz_web.db.session import Database
from cwz_web.feeds import tasks as feed_tasks
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.usage import Quotas
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.jobs import IO_CONCURRENCY, PREPARE_CONCURRENCY, run_worker
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
from cwz_web.runs.protocol import RenderClient
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.settings import Settings
from cwz_web.storage import tasks as storage_tasks
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.workspaces import tasks as workspace_tasks

# Importing a domain's tasks declares them.
TASKS = (
    account_tasks,
    billing_tasks,
    feed_tasks,
    notify_tasks,
    ops_tasks,
    run_tasks,
    slack_messages,
    storage_tasks,
    workspace_tasks,
)


def run(settings: Settings, *, with_parent: bool) -> None:
    """Work until SIGINT or SIGTERM; with_parent, also until the standard input ends."""
    if with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    install_fonts(settings.node_modules, settings.font_folder)
    fetcher = Fetcher(settings.network.allow)
    render_pool = RenderPool(settings.rendering.processes, settings.node_modules, settings.font_folder)
    worker = RenderWorker(
        RenderClient(settings.worker_target, settings.secrets.render.get_secret_value()),
        ImageService(Engine(), ImageSources(fetcher), render_pool),
        ProviderRegistry.of(settings),
    )
    concurrency = settings.worker.concurrency or os.cpu_count() or 1
    url, ring = settings.database.url.get_secret_value(), settings.secrets.key_ring
    signing_secret = settings.secrets.signing.get_secret_value()
    context = {
        "worker": worker,
        # For those that hold a connection for long; as many again for what renders and brings feeds in.
        "database": Database(url, pool_size=IO_CONCURRENCY + PREPARE_CONCURRENCY),
        "post": EmailService.of(settings),
        "fetcher": fetcher,
        "ring": ring,
        "meters": Quotas(settings.image_limit, settings.url, settings.plan_image_limits),
        "slack": Slack.of(settings),
        "cashier": BillingService.of(settings),
        "addresses": SignedUrls(signing_secret, settings.url),
        "webhooks": WebhookSender(signing_secret, fetcher),
        "keep": RetentionPolicy.of(settings),
    }
    # Whoever may act as the owner of the tables does the upkeep as well.
    upkeep = settings.database.owner_url is not None
    if upkeep:
        context["archive"] = BackupStore.of(settings, worker.providers, ring)
    if settings.worker.metrics_address:
        host, _, port = settings.worker.metrics_address.rpartition(":")
        start_http_server(int(port), host)
    try:
        asyncio.run(run_worker(url, concurrency=concurrency, context=context, upkeep=upkeep))
    finally:
        render_pool.close()


def _end_with_parent() -> None:
    # Unbuffered: a thread that waits inside a buffered reader upsets the interpreter's end.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
