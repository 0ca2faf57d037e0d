"""Image processors for tests. They are pickled, so that a module has to define them; it imports little."""

from collections.abc import Iterable
from threading import Event

import pyvips

from cwz_web.imaging.decoding import read_image_size
from cwz_web.imaging.processors import ImageProcessor, ProcessingError, hookimpl


def _encode(width: int, *color: int) -> bytes:
    image = (pyvips.Image.black(width, width, bands=len(color)) + list(color)).cast("uchar")
    data: bytes = image.copy(interpretation="srgb").pngsave_buffer()
    return data


GREEN = _encode(90, 0, 255, 0, 255)
OPAQUE = _encode(90, 0, 255, 0)
# What the width of a photo makes the processor do.
REFUSE, FAIL, WASTE, SEND_TOO_MUCH, IGNORE_ALPHA, SEND_TEXT, WAIT = range(1, 8)


class Green(ImageProcessor):
    """Makes every photo green, except for those whose width is an order."""

    api_version = 1
    name = "green"
    version = "1"
    cost = 2

    def process(self, photo: bytes) -> bytes:
        match read_image_size(photo)[0]:
            case 1:
                raise ProcessingError("The photo is not green enough")
            case 2:
                raise KeyError("secret")
            case 3:
                return bytes(3 * 1024**3)
            case 4:
                return bytes(30 * 1024**2)
            case 5:
                return OPAQUE
            case 6:
                return b"no image"
            case 7:
                Event().wait()
        return GREEN


@hookimpl
def cwz_image_processors() -> Iterable[ImageProcessor]:
    return [Green()]
