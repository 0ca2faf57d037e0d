"""Child processes that render images in parallel.

Python runs one thread of a process at a time, so a process renders eight images no faster together than one after
another. An image that is rendered alone is rendered in this process: that needs no child process and copies nothing.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import structlog

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.composition import RenderedImage
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import RenderProcessError
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons
from cwz_web.imaging.placement import LoadedSources

log = structlog.get_logger()

# The limit of the engine's cache in each child process.
CHILD_CACHE_BYTES = 96 * 1024 * 1024
ATTEMPTS = 2


class RenderPool:
    """Child processes for rendering, started when two images are rendered at the same time for the first time.

    Safe for several threads.

    Args:
        processes: the number of processes; None for one per core, 0 to render everything in this process.
        node_modules: the folder of the npm packages, as for `install_fonts`.
        fonts: the folder of fontconfig's configuration, as for `install_fonts`.
    """

    def __init__(self, processes: int | None, node_modules: Path, fonts: Path) -> None:
        self._processes = (os.cpu_count() or 1) if processes is None else processes
        self._font_folders = (node_modules, fonts)
        self._lock = threading.Lock()
        self._active = 0
        self._executor: ProcessPoolExecutor | None = None

    def render(self, plan: Plan, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        """Render and encode the image of a row, in this process or in a child process.

        Args:
            plan: the template in one size.
            values: the values of the row.
            sources: its images and fonts.
            output: the format and its options.

        Raises:
            ImagingError: the image cannot be rendered.
        """
        with self._lock:
            self._active += 1
            is_alone = self._active == 1
        try:
            return plan.render(values, sources, output) if is_alone else self._delegate(plan, values, sources, output)
        finally:
            with self._lock:
                self._active -= 1

    def close(self) -> None:
        """End the child processes after their current images. Later images are rendered in this process."""
        with self._lock:
            executor, self._executor, self._processes = self._executor, None, 0
        if executor is not None:
            executor.shutdown()

    def _delegate(self, plan: Plan, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        """Render in a child process, if there are any. If the process dies, try once more in a new one."""
        for _ in range(ATTEMPTS):
            executor = self._open_executor()
            if executor is None:
                return plan.render(values, sources, output)
            try:
                return executor.submit(_render, plan.template, plan.scale, values, sources, output).result()
            except BrokenProcessPool:
                log.warning("render process died")
                self._discard(executor)
        # Not rendered in this process, which an image of excessive memory use would end as well.
        raise RenderProcessError(gettext_lazy("The image could not be rendered. Try again, or use smaller images"))

    def _open_executor(self) -> ProcessPoolExecutor | None:
        with self._lock:
            if self._executor is None and self._processes:
                # Not by fork: libvips' threads and the database connections do not survive it.
                spawn = multiprocessing.get_context("spawn")
                self._executor = ProcessPoolExecutor(self._processes, spawn, _initialize, self._font_folders)
            return self._executor

    def _discard(self, executor: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is executor:
                self._executor = None
        executor.shutdown(wait=False)


# The engine of a child process.
_engine: Engine


def _initialize(node_modules: Path, fonts: Path) -> None:
    """Prepare a child process. It ignores Ctrl-C, which its parent handles, and ends when its parent ends."""
    global _engine
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    install_fonts(node_modules, fonts)
    install_icons(node_modules)
    _engine = Engine(CHILD_CACHE_BYTES)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _render(
    template: ImageTemplate, scale: int, values: Mapping[str, str], sources: LoadedSources, output: Output
) -> RenderedImage:
    return _engine.plan(template, scale=scale).render(values, sources, output)
