"""The child process of an image processor, with limits on time, memory and the size of its result.

Photos are hostile, and processors use native libraries. A process is kept for the next photo, since a processor may
load a model. It gets and returns bytes only; nothing that it sends is unpickled.
"""

import multiprocessing
import os
import resource
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import structlog

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.decoding import MAX_BYTES, has_alpha, read_image_size
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.processors import ImageProcessor, ProcessingError

MAX_SECONDS = 20.0
# How long a photo waits for others.
WAIT_SECONDS = 60.0
# The process has to import the processor first.
START_SECONDS = 30.0
MAX_MEMORY = 2 * 1024**3
MAX_ERROR_BYTES = 2000
READY, RESULT, REFUSED, FAILED = b"+", b"=", b"!", b"?"

log = structlog.get_logger()


class ProcessorProcess:
    """Runs a processor in a child process, which is started with the first photo. Safe for several threads.

    Args:
        processor: the processor.
        max_seconds: how long it may take for a photo.
    """

    def __init__(self, processor: ImageProcessor, max_seconds: float = MAX_SECONDS) -> None:
        self._processor, self._max_seconds = processor, max_seconds
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def process(self, photo: bytes) -> bytes:
        """Return the result of the processor for a photo. Raises ProcessingError."""
        try:
            read_image_size(photo)
        except InvalidImageError as error:
            raise ProcessingError(str(error)) from None
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise ProcessingError(gettext_lazy("Other photos are being processed"), is_temporary=True)
        try:
            status, result = self._exchange(photo)
        finally:
            self._lock.release()
        if status == REFUSED:
            raise ProcessingError(result[:MAX_ERROR_BYTES].decode("utf-8", "replace"))
        if status != RESULT:
            log.error("image processor failed", processor=self._processor.name, error=result.decode("utf-8", "replace"))
            raise ProcessingError(gettext_lazy("The image processor failed. We have recorded it"))
        return _check_result(result)

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            self._stop()

    def _exchange(self, photo: bytes) -> tuple[bytes, bytes]:
        """Send a photo to the child process and return the status and the content of its answer."""
        connection = self._open()
        try:
            connection.send_bytes(photo)
            if not connection.poll(self._max_seconds):
                raise ProcessingError(
                    gettext_lazy("Processing the photo takes more than %(max)s seconds", max=f"{self._max_seconds:.0f}")
                )
            answer = connection.recv_bytes(MAX_BYTES + 1)
        except (OSError, EOFError):
            # It is killed if it takes too much memory; an answer that is too long is an OSError as well.
            self._stop()
            raise ProcessingError(
                gettext_lazy("The photo takes too much memory to process, or its result is too large")
            ) from None
        except ProcessingError:
            self._stop()
            raise
        return answer[:1], answer[1:]

    def _open(self) -> Connection:
        """Return the connection to the child process, which is started if it does not run."""
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._stop()
        # Not by fork: libvips' threads and the database connections do not survive it.
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, self._processor), daemon=True)
        self._process.start()
        child.close()
        try:
            is_ready = self._connection.poll(START_SECONDS) and self._connection.recv_bytes(1) == READY
        except (OSError, EOFError):
            is_ready = False
        if not is_ready:
            self._stop()
            raise ProcessingError(gettext_lazy("The image processor does not start"), is_temporary=True)
        return self._connection

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _check_result(data: bytes) -> bytes:
    """Return the result of a processor if it is an image with alpha. Raises ProcessingError."""
    try:
        is_usable = has_alpha(data)
    except InvalidImageError as error:
        raise ProcessingError(
            gettext_lazy("The image processor returned no image: %(reason)s", reason=error.clause)
        ) from None
    if not is_usable:
        raise ProcessingError(gettext_lazy("The image processor returned an image without transparency"))
    return data


def _serve(connection: Connection, processor: ImageProcessor) -> None:
    """Process the photos that the parent process sends, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    connection.send_bytes(READY)
    while True:
        try:
            photo = connection.recv_bytes()
        except (EOFError, OSError):
            return
        connection.send_bytes(_answer(processor, photo))


def _answer(processor: ImageProcessor, photo: bytes) -> bytes:
    try:
        result = processor.process(photo)
    except ProcessingError as error:
        return REFUSED + str(error).encode("utf-8", "replace")[:MAX_ERROR_BYTES]
    except Exception as error:
        return FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:MAX_ERROR_BYTES]
    return RESULT + result
