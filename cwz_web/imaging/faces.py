"""Faces in photos: where `focus` `face` crops. The detector is dlib's, in the optional extra `faces`.

It recognizes frontal faces by histograms of oriented gradients; its model is a part of the library. It gets decoded
pixels only.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.compositing import Pixels

DISTRIBUTION = "dlib-bin"
MISSING = gettext_lazy("finding faces needs the extra “faces” on the server: pip install cwz-web[faces]")
# The longest side of the pixels that are examined. Faces of 80 pixels or more are found: a twelfth of the photo.
FACES_SIDE = 960

# The detector keeps its state in itself.
_lock = Lock()


@cache
def faces_version() -> str | None:
    """Return the version of the detector; None if it is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return None


def find_faces(pixels: Pixels) -> tuple[float, float] | None:
    """Return the middle of all faces in a photo, in fractions of its width and height; None if there is no face.

    Args:
        pixels: the photo, an array (height, width, 3 or 4) of at most FACES_SIDE pixels a side.
    """
    if faces_version() is None:
        return None
    with _lock:
        boxes = list(_detector()(pixels[..., :3].copy(), 0))
    if not boxes:
        return None
    height, width = pixels.shape[:2]
    left, right = min(box.left() for box in boxes), max(box.right() for box in boxes)
    top, bottom = min(box.top() for box in boxes), max(box.bottom() for box in boxes)
    x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


@cache
def _detector() -> Any:
    import dlib  # the extra may not be installed

    return dlib.get_frontal_face_detector()
