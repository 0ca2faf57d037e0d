"""Processes beside this one, which render while this one is rendering already.

Only one thread of a Python process works at a time, whatever the processors, so that eight images would be rendered no
faster than one after another. An image that nobody else keeps waiting is rendered here, which is quickest.
"""

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog

from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, LoadedSources, Plan, nothing
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.fonts import install_fonts

log = structlog.get_logger()

# For each of the engine's three memories, and for what was handed over; this process has them, too.
MEMORY = 32 * 1024 * 1024
# Bytes of finished images that may be on their way, as many as Linux allows anybody. There are 64 KB by itself: a
# helper would do nothing until this process, which is busy, has read the rest of its image.
ON_THE_WAY = 1024 * 1024
# Processes that died, for want of memory perhaps, are not started over and over.
REST_SECONDS = 10.0

# As `Sources`, where the digest of a source that a helper may remember stands for it.
NamedSources = Mapping[str, Source | SourceMissingError | str]


class _PlanNotCachedError(Exception):
    """A helper does not know, or not any more, what a digest stands for."""


class RenderPool:
    """So many processes, started when two images are rendered at once for the first time. Safe for several threads.

    Arguments:
        number: how many processes, one a core with None; with 0 everything is rendered here.
        node_modules: where the fonts are, as for `install_fonts`.
        fonts: the folder of their configuration.
    """

    def __init__(self, number: int | None, node_modules: Path, fonts: Path) -> None:
        self._number = (os.cpu_count() or 1) if number is None else number
        self._fonts = (node_modules, fonts)
        self._lock = threading.Lock()
        self._rendered_now = 0
        self._pool: ProcessPoolExecutor | None = None
        self._ready: Future[int] | None = None
        self._handed_over: ByteCache[Source] = ByteCache(MEMORY)
        self._rest_until = 0.0

    def render(
        self,
        plan: Plan,
        values: Mapping[str, str],
        sources: LoadedSources,
        output: Output,
        rendered: Callable[[], object] = nothing,
    ) -> bytes:
        """The file of a row's image, rendered here or there. Raises ImagingError.

        Arguments:
            rendered: called when it is rendered, and here not encoded yet.
        """
        with self._lock:
            self._rendered_now += 1
            pool = self._pool_that_is_ready() if self._rendered_now > 1 else None
        try:
            if pool is not None:
                try:
                    image = self._render_there(pool, plan, values, sources, output)
                    rendered()
                    return image
                except BrokenProcessPool:
                    log.warning("a rendering process died; what it was rendering is rendered here")
                    self._give_up(pool)
            return plan.render(values, sources, output, rendered)
        finally:
            with self._lock:
                self._rendered_now -= 1

    def close(self) -> None:
        """End the processes, when they have rendered what they are rendering. Whatever comes later is rendered here."""
        with self._lock:
            pool, self._pool, self._ready, self._number = self._pool, None, None, 0
        if pool is not None:
            pool.shutdown()

    def _render_there(
        self, pool: Executor, plan: Plan, values: Mapping[str, str], sources: LoadedSources, output: Output
    ) -> bytes:
        """Photos are handed over once: to copy one of 700 KB through a pipe costs a fifth of rendering the image."""
        named = {reference: self._named(source) for reference, source in sources.items()}
        try:
            return pool.submit(_render, plan.document, values, named, output).result()
        except _PlanNotCachedError:
            return pool.submit(_render, plan.document, values, sources, output).result()

    def _named(self, source: Source | SourceMissingError) -> Source | SourceMissingError | str:
        if isinstance(source, SourceMissingError):
            return source
        if self._handed_over.get(source.digest):
            return source.digest
        return self._handed_over.keep(source.digest, source)

    def _pool_that_is_ready(self) -> Executor | None:
        if self._pool is None and self._number and time.monotonic() > self._rest_until:
            # Not by forking: what libvips and the database's driver hold does not survive that.
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._number, spawn, _begin, self._fonts)
            _widen(self._pool)
            self._ready = self._pool.submit(os.getpid)
        return self._pool if self._ready is not None and self._ready.done() else None

    def _give_up(self, pool: Executor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = self._ready = None
                self._rest_until = time.monotonic() + REST_SECONDS


def _widen(pool: ProcessPoolExecutor) -> None:
    """Let finished images wait in the pipe to this process.

    Where that cannot be done (no Linux, another pool inside, a user's quota), they come all the same, a sixteenth
    slower.
    """
    queue: Any = pool._result_queue
    with suppress(AttributeError, OSError):
        fcntl.fcntl(queue._reader.fileno(), fcntl.F_SETPIPE_SZ, ON_THE_WAY)


_engine: Engine
_remembered: ByteCache[Source]


def _begin(node_modules: Path, fonts: Path) -> None:
    """What a helper does first. It ends when its parent tells it to, or is no more, and not at Ctrl-C."""
    global _engine, _remembered
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    install_fonts(node_modules, fonts)
    _engine = Engine(MEMORY)
    _remembered = ByteCache(MEMORY)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _render(document: str, values: Mapping[str, str], named: NamedSources, output: Output) -> bytes:
    sources = {reference: _source(source) for reference, source in named.items()}
    return _engine.plan(_template(document), output.size, output.scale).render(values, sources, output)


def _source(named: Source | SourceMissingError | str) -> Source | SourceMissingError:
    if isinstance(named, Source):
        return _remembered.keep(named.digest, named)
    if isinstance(named, SourceMissingError):
        return named
    source = _remembered.get(named)
    if source is None:
        raise _PlanNotCachedError
    return source


@lru_cache(64)
def _template(document: str) -> ImageTemplate:
    return ImageTemplate.model_validate_json(document)
