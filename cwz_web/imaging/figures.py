"""The corners of figures: arrows, stars, bursts, ribbons and speech bubbles, as fractions of the layer's box."""

from collections.abc import Callable
from math import cos, pi, sin

from cwz_web.imaging.document_parts import Point
from cwz_web.imaging.layers import ShapeLayer

# The points of each round corner of a speech bubble.
CORNER_POINTS = 9
# The tail of a speech bubble: its height, where it begins and ends, and its tip.
TAIL_HEIGHT, TAIL_START, TAIL_END, TAIL_TIP = 0.2, 0.18, 0.36, 0.12


def outline_points(layer: ShapeLayer, margin: float) -> tuple[Point, ...]:
    """Return the corners of a figure, inside of the box by a margin in pixels; none for any other shape."""
    figure = FIGURES.get(layer.shape)
    if figure is None:
        return ()
    x, y = (min(margin / side, 0.5) for side in (layer.width, layer.height))
    return tuple((x + a * (1 - 2 * x), y + b * (1 - 2 * y)) for a, b in figure(layer))


def _arrow(layer: ShapeLayer) -> list[Point]:
    """An arrow to the right. The depth is the length of its head."""
    neck = 1 - layer.depth
    return [(0, 0.3), (neck, 0.3), (neck, 0), (1, 0.5), (neck, 1), (neck, 0.7), (0, 0.7)]


def _star(layer: ShapeLayer) -> list[Point]:
    """A star with its first corner at the top. The depth is that of the notches between the corners."""
    angles = [at * pi / layer.corners for at in range(2 * layer.corners)]
    reach = [0.5 if at % 2 == 0 else 0.5 * (1 - layer.depth) for at in range(2 * layer.corners)]
    points = [(sin(angle) * far, -cos(angle) * far) for angle, far in zip(angles, reach, strict=True)]
    # A star with an odd number of corners does not reach the edges of its circle: stretch it to the box.
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    return [((x - left) / (right - left), (y - top) / (bottom - top)) for x, y in points]


def _ribbon(layer: ShapeLayer) -> list[Point]:
    """A banner with a notch at both ends. The depth is that of the notches, relative to half of the height."""
    notch = min(layer.depth * layer.height / 2 / layer.width, 0.45)
    return [(0, 0), (1, 0), (1 - notch, 0.5), (1, 1), (0, 1), (notch, 0.5)]


def _bubble(layer: ShapeLayer) -> list[Point]:
    """A speech bubble with the layer's round corners and a tail at the lower left."""
    bottom = 1 - TAIL_HEIGHT
    radius = min(layer.radius, layer.width * TAIL_START, layer.height * bottom / 2)
    x, y = radius / layer.width, radius / layer.height
    centers = [(1 - x, y, -90), (1 - x, bottom - y, 0), (x, bottom - y, 90), (x, y, 180)]
    corners = [
        [
            (a + cos(angle) * x, b + sin(angle) * y)
            for step in range(CORNER_POINTS)
            for angle in [(start + 90 * step / (CORNER_POINTS - 1)) * pi / 180]
        ]
        for a, b, start in centers
    ]
    tail = [(TAIL_END, bottom), (TAIL_TIP, 1.0), (TAIL_START, bottom)]
    return [*corners[0], *corners[1], *tail, *corners[2], *corners[3]]


FIGURES: dict[str, Callable[[ShapeLayer], list[Point]]] = {
    "arrow": _arrow,
    "star": _star,
    "burst": _star,
    "ribbon": _ribbon,
    "bubble": _bubble,
}
