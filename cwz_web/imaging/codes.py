"""QR codes (ISO/IEC 18004) as PNG: the matrix by segno, the picture by libvips."""

import numpy as np
import pyvips
import segno

QUIET_ZONE = 4


def qr_png(text: str, module: int = 6) -> bytes:
    """A black-on-white QR code.

    Arguments:
        text: what it says.
        module: the side of one of its squares, in pixels.
    """
    matrix = np.array([list(row) for row in segno.make(text, error="m").matrix], dtype=np.uint8)
    framed = np.pad(matrix, QUIET_ZONE)
    pixels = np.kron((1 - framed) * 255, np.ones((module, module), dtype=np.uint8)).astype(np.uint8)
    height, width = pixels.shape
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels).data, width, height, 1, "uchar")
    png: bytes = image.copy(interpretation="b-w").pngsave_buffer(compression=9, bitdepth=1)
    return png
