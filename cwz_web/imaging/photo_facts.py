"""What expressions can use of a photo beside its URL: `photo.background`, `photo.width`, `photo.height`."""

from dataclasses import dataclass
from typing import Literal

PhotoBackground = Literal["white", "uniform", "cutout", "lifestyle", "placeholder"]

BACKGROUNDS = frozenset(["white", "uniform", "cutout", "lifestyle", "placeholder", "unknown"])
# The parts by the kind of literal that they can be equal to.
PHOTO_PARTS: dict[str, str | None] = {"background": "string", "height": "number", "too_small": None, "width": "number"}
# A photo whose longer side is shorter cannot be shown well on any card.
MIN_SIDE = 200


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo.

    Attributes:
        background: what the product is on; "unknown" if the photo cannot be read.
        width: the width of the photo as it is displayed, in pixels; None if it cannot be read.
        height: its height.
    """

    background: PhotoBackground | Literal["unknown"] = "unknown"
    width: int | None = None
    height: int | None = None

    @property
    def too_small(self) -> bool | None:
        """Whether the photo has so few pixels that it cannot be shown well; None if it cannot be read."""
        return None if self.width is None or self.height is None else max(self.width, self.height) < MIN_SIDE

    def parts(self, field: str) -> dict[str, str | float | bool | None]:
        """Return the parts of the photo in a field, such as photo.width, as expressions compute with them."""
        return {
            f"{field}.background": self.background,
            f"{field}.height": None if self.height is None else float(self.height),
            f"{field}.too_small": self.too_small,
            f"{field}.width": None if self.width is None else float(self.width),
        }


def field_of(part: str) -> str:
    """Return the name of the field in a part such as photo.width."""
    return part.partition(".")[0]


def unknown_part(part: str) -> str | float | bool | None:
    """Return the value of a part such as photo.width if the photo cannot be read."""
    return PhotoFacts().parts(field_of(part))[part]
