"""A process that renders one SVG image as PNG.

It limits its own memory and time, reads the image from its standard input and writes the PNG image to its standard
output. If the image is refused, it writes the reason to its standard error and exits with REFUSED.

    python -m cwz_web.imaging.svg_process MAX_SECONDS LOCALE
"""

import resource
import sys

import pyvips

from cwz_web.i18n import gettext_lazy, translate, use_locale
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.svg import sanitize_svg

MAX_MEMORY = 512 * 1024**2
REFUSED = 3


def main() -> None:
    """Read an SVG image from the standard input and write a PNG image to the standard output."""
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    # The first limit sends SIGXCPU, the second one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pyvips.operation_block_set("VipsForeignLoad", True)
    pyvips.operation_block_set("VipsForeignLoadSvg", False)
    try:
        png = _render(sys.stdin.buffer.read())
    except InvalidImageError as error:
        with use_locale(sys.argv[2]):
            sys.stderr.write(translate(str(error)))
        sys.exit(REFUSED)
    sys.stdout.buffer.write(png)


def _render(data: bytes) -> bytes:
    try:
        png: bytes = pyvips.Image.svgload_buffer(sanitize_svg(data)).pngsave_buffer(keep="none")
    except pyvips.Error:
        raise InvalidImageError(
            gettext_lazy(
                "The SVG image cannot be rendered: it is invalid or needs more than %(max)s MB of memory",
                max=MAX_MEMORY // 1024**2,
            )
        ) from None
    return png


if __name__ == "__main__":
    main()
