"""Runs the queued jobs of an application under test with a real worker."""

import asyncio
import threading
from typing import Any

import psycopg_pool

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


class Worker:
    """An event loop with a connection to each database, which take longer to start than most jobs take.

    In a thread of its own, since Playwright's loop may run in the one of the test.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pools: dict[str, psycopg_pool.AsyncConnectionPool] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True)
        self._thread.start()

    def run(self, app_url: str, queues: list[str], context: dict[str, object], concurrency: int) -> None:
        work = self._work(app_url, queues, context, concurrency)
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _work(self, app_url: str, queues: list[str], context: dict[str, object], concurrency: int) -> None:
        if app_url not in self._pools:
            check = psycopg_pool.AsyncConnectionPool.check_connection
            pool = psycopg_pool.AsyncConnectionPool(app_url, min_size=1, open=False, check=check)
            await pool.open(wait=True)
            self._pools[app_url] = pool
        with app.replace_connector(WorkerConnector(conninfo=app_url)) as worker_app:
            async with worker_app.open_async(self._pools[app_url]):
                await worker_app.run_worker_async(
                    queues=queues,
                    concurrency=concurrency,
                    wait=False,
                    additional_context=context,
                    install_signal_handlers=False,
                    listen_notify=False,
                    delete_jobs="successful",
                )

    def close(self) -> None:
        """Close the connections, before their server stops."""

        async def close() -> None:
            for pool in self._pools.values():
                await pool.close()
            await self._loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


# Started with the first jobs; the fixture `shared_services` closes it.
_workers: list[Worker] = []


def run_jobs(app_url: str, queues: str | list[str], context: dict[str, object], concurrency: int = 1) -> None:
    """Run the jobs of a queue or several, and those that they enqueue, until none is left."""
    if not _workers:
        _workers.append(Worker())
    _workers[0].run(app_url, [queues] if isinstance(queues, str) else queues, context, concurrency)


def close_workers() -> None:
    """Close what `run_jobs` has started."""
    while _workers:
        _workers.pop().close()


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
