"""`cwz render-worker`: a process that renders the chunks of runs, and holds no keys.

Of all secrets it needs two: the render secret, and the database URL of a role that may only use the render queue. The
web application gives it the specifications and presigned URLs.
"""

import asyncio
import os
from collections.abc import Iterable

from cwz_web.cli.processes import serve_metrics, stop_with_parent
from cwz_web.db.queue_role import SEARCH_PATH
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.jobs import RENDER_QUEUE, QueueGroup, run_worker
from cwz_web.net.client import Fetcher
from cwz_web.net.guard import OutboundPolicy
from cwz_web.runs import render_tasks
from cwz_web.runs.protocol import RenderClient
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.settings import RenderWorkerSettings

# Importing the module declares its task; no other task may be declared in this process.
TASKS = (render_tasks,)


def run(settings: RenderWorkerSettings, *, with_parent: bool) -> None:
    """Render until SIGINT or SIGTERM.

    Args:
        settings: the settings of a render worker.
        with_parent: also stop when the standard input ends.
    """
    if with_parent:
        stop_with_parent()
    install_fonts(settings.node_modules, settings.font_folder)
    install_icons(settings.node_modules)
    allowed = settings.network.allow

    def outbound(hosts: Iterable[str]) -> OutboundPolicy:
        return OutboundPolicy(hosts, allowed)

    render_pool = RenderPool(settings.rendering.processes, settings.node_modules, settings.font_folder)
    client = RenderClient(settings.render_api_url, settings.secrets.render.get_secret_value())
    image_service = ImageService(Engine(), ImageSources(Fetcher(allowed)), render_pool)
    group = QueueGroup((RENDER_QUEUE,), settings.worker.concurrency or os.cpu_count() or 1)
    context = {"render_worker": RenderWorker(client, image_service, outbound)}
    serve_metrics(settings.worker.render_metrics_address)
    try:
        url = settings.database.queue_url.get_secret_value()
        asyncio.run(run_worker(url, [group], context, search_path=SEARCH_PATH))
    finally:
        image_service.close()
        render_pool.close()
