"""Styles of layers: fills, lines, shadows and adjustments of photos."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cwz_web.i18n import gettext
from cwz_web.imaging.document_parts import PIXELS, Color, DocumentPart, Fraction, new_key


class GradientStop(DocumentPart):
    """A color of a gradient at a fraction of the way from its start to its end."""

    offset: Fraction
    color: Color


class Gradient(DocumentPart):
    """A gradient of two to eight colors: `start`, `stops` or a `middle` between them, and `end`.

    A linear one has an `angle`: 0 runs to the right, 90 down. A conic one turns clockwise around the center and begins
    at its `angle`: 0 is to the right, 90 below.
    """

    type: Literal["linear", "radial", "conic"] = "linear"
    start: Color
    middle: Color | None = None
    stops: Annotated[tuple[GradientStop, ...], Field(max_length=6)] = new_key(())
    end: Color
    angle: Annotated[float, Field(ge=-360, le=360)] = 90

    @model_validator(mode="after")
    def _check_stops(self) -> Self:
        if self.middle and self.stops:
            raise ValueError(gettext("A gradient has either a middle or stops. Make the middle a stop at 0.5"))
        offsets = [stop.offset for stop in self.stops]
        if offsets != sorted(offsets):
            raise ValueError(
                gettext("The stops of a gradient are in the order of their offsets, the smallest one first")
            )
        return self

    def colors(self) -> list[tuple[float, str]]:
        """Return all colors with their offsets from 0 to 1."""
        middle = [(0.5, self.middle)] if self.middle else [(stop.offset, stop.color) for stop in self.stops]
        return [(0.0, self.start), *middle, (1.0, self.end)]


# A discriminated union, so that an invalid value gets one error message and not two.
Fill = Annotated[
    Annotated[Color, Tag("color")] | Annotated[Gradient, Tag("gradient")],
    Discriminator(lambda fill: "gradient" if isinstance(fill, dict | Gradient) else "color"),
]


class Border(DocumentPart):
    """A line in one color along the inside of a layer's edge, with `dash` in dashes of this length and gaps as long."""

    color: Color
    width: Annotated[float, Field(gt=0, le=200), PIXELS]
    dash: Annotated[float | None, Field(ge=1, le=500), PIXELS] = new_key(None)


class Stroke(DocumentPart):
    """A line in one color along the edge of letters: below the letters if it is outside, otherwise above them."""

    color: Color
    width: Annotated[float, Field(gt=0, le=40), PIXELS]
    position: Literal["outside", "center", "inside"] = new_key("outside")


class Outline(DocumentPart):
    """A line in one color around the visible pixels of a photo."""

    color: Color
    width: Annotated[float, Field(gt=0, le=40), PIXELS]


class Shadow(DocumentPart):
    """The shadow of a layer on the layers below. `blur` is the standard deviation of a Gaussian blur."""

    color: Color = "#00000066"
    x: Annotated[int, Field(ge=-500, le=500), PIXELS] = 0
    y: Annotated[int, Field(ge=-500, le=500), PIXELS] = 8
    blur: Annotated[float, Field(ge=0, le=100), PIXELS] = 12


# One shadow or several, the first one on top.
Shadows = Annotated[
    Annotated[Shadow, Tag("one")] | Annotated[tuple[Shadow, ...], Tag("several"), Field(min_length=1, max_length=4)],
    Discriminator(lambda shadows: "several" if isinstance(shadows, list | tuple) else "one"),
]


class Adjustments(DocumentPart):
    """Adjustments of a photo. Brightness, contrast and saturation are factors; 1 changes nothing.

    `sharpen` is an amount from 0 to 1, `blur` the standard deviation of a Gaussian blur.
    """

    brightness: Annotated[float, Field(ge=0, le=4)] = 1
    contrast: Annotated[float, Field(ge=0, le=4)] = 1
    saturation: Annotated[float, Field(ge=0, le=4)] = 1
    sharpen: Fraction = 0
    blur: Annotated[float, Field(ge=0, le=100), PIXELS] = 0


class Duotone(DocumentPart):
    """Two colors that replace the dark and the light tones of a photo."""

    dark: Color = "#000000"
    light: Color = "#ffffff"


class Fade(DocumentPart):
    """A layer's transition to transparent: 0 degrees runs to the right, 90 down.

    `start` and `end` are fractions of the way: opaque up to the first, transparent from the second on.
    """

    angle: Annotated[float, Field(ge=-360, le=360)] = 90
    start: Fraction = 0
    end: Fraction = 1

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.start > self.end:
            raise ValueError(gettext("A fade starts before it ends: choose a start that is not larger than the end"))
        return self
