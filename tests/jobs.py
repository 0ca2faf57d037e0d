"""Runs the queued jobs of an application under test with a real worker."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cwz_web.accounts import tasks as account_tasks
from cwz_web.campaigns import tasks as campaign_tasks
from cwz_web.channels import tasks as channel_tasks
from cwz_web.feeds import tasks as feed_tasks
from cwz_web.jobs import FEEDS_QUEUE, SOURCES_QUEUE, WorkerConnector, app
from cwz_web.net.client import Fetcher
from cwz_web.notify.tasks import EmailService
from cwz_web.runs import render_tasks
from cwz_web.runs import tasks as run_tasks
from cwz_web.shops import tasks as shop_tasks
from cwz_web.web.services import Services
from cwz_web.workspaces import tasks as workspace_tasks

# Importing the modules registers the jobs.
TASKS = (account_tasks, campaign_tasks, channel_tasks, feed_tasks, render_tasks, run_tasks, shop_tasks, workspace_tasks)


def run_jobs(app_url: str, queues: str | list[str], context: dict[str, object], concurrency: int = 1) -> None:
    """Run the jobs of a queue or several, and those that they enqueue, until none is left."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop may run in this one
        thread.submit(asyncio.run, _work(app_url, queues, context, concurrency)).result()


def run_feed_jobs(services: Services, fetcher: Fetcher | None = None) -> None:
    """Run the queued jobs of feeds."""
    context: dict[str, Any] = {
        "database": services.database,
        "fetcher": fetcher or services.fetcher,
        "ring": services.ring,
        "quotas": services.quotas,
        "email_service": EmailService.of(services.settings),
        "feed_sources": services.feed_sources,
    }
    run_jobs(services.settings.database.url.get_secret_value(), [FEEDS_QUEUE, SOURCES_QUEUE], context)


async def _work(app_url: str, queues: str | list[str], context: dict[str, object], concurrency: int) -> None:
    with app.replace_connector(WorkerConnector(conninfo=app_url, min_size=1)) as worker_app:
        async with worker_app.open_async():
            await worker_app.run_worker_async(
                queues=[queues] if isinstance(queues, str) else queues,
                concurrency=concurrency,
                wait=False,
                additional_context=context,
                install_signal_handlers=False,
                listen_notify=False,
                delete_jobs="successful",
            )
