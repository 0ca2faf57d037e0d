"""Uploaded images: what is stored of them, upright and without metadata.

An SVG image is rendered once, here, and stored as PNG. So is the first frame of a GIF image.
"""

import os
import signal
import subprocess
import sys
from threading import Lock

from cwz_web.i18n import current_locale, gettext_lazy
from cwz_web.imaging.decoding import MAX_BYTES, reencode_upright
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.file_types import is_svg
from cwz_web.imaging.metadata import strip_metadata
from cwz_web.imaging.svg import MAX_SVG_BYTES
from cwz_web.imaging.svg_process import MAX_MEMORY, REFUSED

PROCESS = "cwz_web.imaging.svg_process"
# Below the server's `max_request_body_size`.
MAX_UPLOAD_BYTES = 16 * 1024 * 1024
# Of one core.
MAX_SECONDS = 4
# Of the clock, for a busy machine.
TIMEOUT = 20
WAIT_SECONDS = 2
# SVG images take one core at most.
_is_rendering = Lock()


def prepare_image(data: bytes) -> bytes:
    """Return an uploaded image as it is stored: JPEG, PNG, WebP or AVIF, upright and without metadata.

    Raises:
        InvalidImageError: The image is not supported, damaged or takes too much to render; the message says which.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise InvalidImageError(gettext_lazy("The image is larger than %(max)s MB", max=MAX_UPLOAD_BYTES // 1024**2))
    if is_svg(data):
        return _render_svg(data)
    stored = strip_metadata(reencode_upright(data))
    if len(stored) > MAX_BYTES:
        raise InvalidImageError(
            gettext_lazy(
                "The rotated image is larger than %(max)s MB. Rotate and save it again", max=MAX_BYTES // 1024**2
            )
        )
    return stored


def _render_svg(data: bytes) -> bytes:
    if len(data) > MAX_SVG_BYTES:
        raise InvalidImageError(
            gettext_lazy("The SVG image is larger than %(max)s MB. Simplify its paths", max=MAX_SVG_BYTES // 1024**2)
        )
    if not _is_rendering.acquire(timeout=WAIT_SECONDS):
        raise InvalidImageError(gettext_lazy("Other SVG images are being uploaded. Try again in a minute"))
    try:
        process = subprocess.run(  # noqa: S603 - no shell, and this interpreter
            [sys.executable, "-m", PROCESS, str(MAX_SECONDS), current_locale()],
            input=data,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise InvalidImageError(gettext_lazy("Rendering the SVG image takes too long. Simplify its paths")) from None
    finally:
        _is_rendering.release()
    if process.returncode:
        raise InvalidImageError(_error_message(process))
    return process.stdout


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    # One thread and one arena: each further one reserves address space, which is limited.
    return kept | {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "1"}


def _error_message(process: subprocess.CompletedProcess[bytes]) -> str:
    if process.returncode == REFUSED:
        return process.stderr.decode("utf-8", "replace")
    if process.returncode == -signal.SIGXCPU:
        return gettext_lazy("The SVG image takes more than %(max)s s to render. Simplify its paths", max=MAX_SECONDS)
    return gettext_lazy(
        "The SVG image needs more than %(max)s MB of memory to render. Simplify it", max=MAX_MEMORY // 1024**2
    )
