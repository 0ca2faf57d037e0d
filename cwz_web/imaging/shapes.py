"""Shapes, rendered by librsvg (inside libvips) from generated SVG. SVG of users is never rendered."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, cos, pi, radians, sin

import numpy as np
import pyvips
from numpy.typing import NDArray

from cwz_web.imaging.compositing import STRIP, Patch, Pixels, merge_patches, parse_color
from cwz_web.imaging.document_parts import Point
from cwz_web.imaging.effects import Window, to_pixels
from cwz_web.imaging.figures import outline_points
from cwz_web.imaging.icons import GRID, LINE_WIDTH, read_icon
from cwz_web.imaging.layers import RatingLayer, ShapeLayer
from cwz_web.imaging.styles import Border, Fill, Gradient

# The distance of a star's inner corners from its center, relative to its outer ones.
STAR_INNER = 0.42
# How many colors a conic gradient is computed with.
CONIC_COLORS = 4096


def render_shape(layer: ShapeLayer, window: Window | None = None) -> Patch:
    """Render the shape of a layer, or only what is in a window of the canvas."""
    width, height = layer.width, layer.height
    if layer.shape == "rectangle":
        return render_box(layer.left, layer.top, width, height, layer.fill, layer.radius, layer.border, window)
    if layer.shape == "icon":
        return _render_icon(layer, window)
    border_width = layer.border.width if layer.border else 0
    points = layer.points if layer.shape in ("line", "polygon") else outline_points(layer, border_width / 2)
    if layer.shape == "ellipse":
        radii = f'rx="{max(width - border_width, 0) / 2}" ry="{max(height - border_width, 0) / 2}"'
        geometry = f'<ellipse cx="{width / 2}" cy="{height / 2}" {radii}'
    else:
        corners = " ".join(f"{x * width:.2f},{y * height:.2f}" for x, y in points)
        element = "polyline" if layer.shape == "line" else "polygon"
        cap = "butt" if layer.border and layer.border.dash else "round"
        geometry = f'<{element} points="{corners}" stroke-linecap="{cap}" stroke-linejoin="round"'
    fill = None if layer.shape == "line" else layer.fill
    # Half of the stroke of a line or a polygon is outside of the box.
    margin = ceil(border_width / 2) if layer.points else 0
    return _render_shape(layer.left, layer.top, width, height, geometry, fill, layer.border, margin, window)


def render_box(
    x: int,
    y: int,
    width: int,
    height: int,
    fill: Fill | None,
    radius: float = 0,
    border: Border | None = None,
    window: Window | None = None,
) -> Patch:
    """Render a rectangle with round corners; its border is inside.

    Args:
        x: the left edge, in pixels.
        y: the upper edge, in pixels.
        width: the width, in pixels.
        height: the height, in pixels.
        fill: the color or gradient; None for none.
        radius: the radius of the corners, in pixels.
        border: the border; None for none.
        window: what can be seen; nothing is rendered beyond it.
    """
    part = _visible_part(x, y, width, height, 0, window)
    if (
        isinstance(fill, Gradient)
        and not radius
        and not border
        and (gradient := _straight_gradient(fill, width, height, part))
    ):
        return Patch(x + part[0], y + part[1], *gradient)
    line = border.width if border else 0
    is_plain = not isinstance(fill, Gradient) and not (border and border.dash)
    small = _stretchable_size(width, height, max(min(radius, width / 2, height / 2), line))
    if is_plain and small != (width, height) and part == (0, 0, width, height):
        box = render_box(x, y, *small, fill, min(radius, width / 2, height / 2), border)
        assert isinstance(box.color, np.ndarray)
        return replace(box, color=_stretch(box.color, width, height), alpha=_stretch(box.mask(), width, height))
    inner_width, inner_height = max(width - line, 0), max(height - line, 0)
    corner = min(max(radius - line / 2, 0), inner_width / 2, inner_height / 2)
    geometry = f'<rect x="{line / 2}" y="{line / 2}" width="{inner_width}" height="{inner_height}" rx="{corner}"'
    return _render_shape(x, y, width, height, geometry, fill, border, 0, window)


def _render_icon(layer: ShapeLayer, window: Window | None) -> Patch:
    """Render the icon of a layer in the middle of its box."""
    width, height = layer.width, layer.height
    scale = min(width, height) / GRID
    line = LINE_WIDTH if layer.stroke_width is None else layer.stroke_width / scale
    transform = f"translate({(width - GRID * scale) / 2:.2f} {(height - GRID * scale) / 2:.2f}) scale({scale:.4f})"
    style = f'fill="none" stroke="#000" stroke-width="{line:.4f}" stroke-linecap="round" stroke-linejoin="round"'
    part = _visible_part(layer.left, layer.top, width, height, 0, window)
    mask = _render_part(part, f'<g transform="{transform}" {style}>{read_icon(layer.icon or "")}</g>')[..., 3].copy()
    if isinstance(layer.fill, Gradient):
        return render_box(layer.left, layer.top, width, height, layer.fill, window=window).clipped(mask)
    color, opacity = parse_color(layer.fill or "")
    return Patch(layer.left + part[0], layer.top + part[1], color, mask).faded(opacity)


def render_placeholder(x: int, y: int, width: int, height: int, color: str) -> Patch:
    """Render the placeholder of a missing image: a colored area with a centered image icon.

    Args:
        x: the left edge, in pixels.
        y: the upper edge, in pixels.
        width: the width, in pixels.
        height: the height, in pixels.
        color: the color of the area, as `#rrggbb` or `#rrggbbaa`.
    """
    side = min(width, height) * 0.22
    icon = (
        '<g fill="none" stroke="#000" stroke-opacity=".22" stroke-width="1.6" stroke-linejoin="round">'
        '<rect x="1" y="3" width="22" height="18" rx="3"/><circle cx="8" cy="9" r="2"/>'
        '<path d="M2 19l6-6 4 4 5-6 6 7"/></g>'
    )
    transform = f"translate({(width - side) / 2:.2f} {(height - side) / 2:.2f}) scale({side / 24:.4f})"
    area = f'<rect width="{width}" height="{height}" {_paint("fill", color)}/>'
    return _patch(x, y, _render(width, height, f'{area}<g transform="{transform}">{icon}</g>'))


def render_rating(layer: RatingLayer, value: float) -> Patch:
    """Render a row of stars, filled up to a value."""
    side = min(layer.height, layer.width / layer.stars)
    step = (layer.width - side) / (layer.stars - 1) if layer.stars > 1 else 0
    step = min(step, side * 1.15)
    stars = "".join(_star(at * step + side / 2, layer.height / 2, side / 2) for at in range(layer.stars))
    value = min(max(value, 0), layer.stars)
    filled = int(value) * step + (value - int(value)) * side
    body = (
        f'<defs><clipPath id="filled"><rect width="{filled:.2f}" height="{layer.height}"/></clipPath></defs>'
        f"<g {_paint('fill', layer.empty)}>{stars}</g>"
        f'<g {_paint("fill", layer.color)} clip-path="url(#filled)">{stars}</g>'
    )
    return _patch(layer.left, layer.top, _render(layer.width, layer.height, body))


def rounded_mask(width: int, height: int, radius: float) -> Pixels:
    """Render a mask (height, width) of a rectangle with round corners."""
    corner = min(radius, width / 2, height / 2)
    across, down = _stretchable_size(width, height, corner)
    mask = _render(across, down, f'<rect width="{across}" height="{down}" rx="{corner}"/>')[..., 3]
    return _stretch(np.ascontiguousarray(mask), width, height)


def _stretchable_size(width: int, height: int, corner: float) -> tuple[int, int]:
    """Return the size of a smaller box that has the same corners and edges, with a row and a column between them."""
    least = 2 * (ceil(corner) + 2) + 1
    return min(width, least), min(height, least)


def _stretch(pixels: Pixels, width: int, height: int) -> Pixels:
    """Repeat the middle row and the middle column of a box up to a size. Most of a large box need not be rendered."""
    for axis, length in ((1, width), (0, height)):
        counts = np.ones(pixels.shape[axis], np.intp)
        counts[len(counts) // 2] += length - len(counts)
        pixels = pixels.repeat(counts, axis)
    return pixels


def elliptic_mask(width: int, height: int) -> Pixels:
    """Render a mask (height, width) of the largest ellipse."""
    body = f'<ellipse cx="{width / 2}" cy="{height / 2}" rx="{width / 2}" ry="{height / 2}"/>'
    return _render(width, height, body)[..., 3].copy()


def polygon_mask(width: int, height: int, points: Sequence[Point]) -> Pixels:
    """Render a mask (height, width) of a polygon, whose points are fractions of the mask."""
    corners = " ".join(f"{x * width:.2f},{y * height:.2f}" for x, y in points)
    return _render(width, height, f'<polygon points="{corners}"/>')[..., 3].copy()


def _straight_gradient(fill: Gradient, width: int, height: int, part: Window) -> tuple[Pixels, Pixels] | None:
    """Compute the colors and the alpha of a vertical or horizontal linear gradient; return None for any other.

    Args:
        fill: the gradient.
        width: the width of the box in pixels.
        height: its height.
        part: the part of the box that is computed.
    """
    if fill.type != "linear" or fill.angle not in (0, 90, 180, 270):
        return None
    down = fill.angle in (90, 270)
    side = height if down else width
    offsets = (np.arange(side) + 0.5) / side
    line = _gradient_colors(fill, offsets, is_reversed=fill.angle >= 180)
    first, length, across = (part[1], part[3], part[2]) if down else (part[0], part[2], part[3])
    line = line[first : first + length]
    pixels = np.repeat(line[:, None] if down else line[None, :], across, axis=1 if down else 0)
    return pixels, pixels[..., 3].copy()


def _gradient_colors(fill: Gradient, offsets: NDArray[np.float64], *, is_reversed: bool = False) -> Pixels:
    """Return the colors and alphas of a gradient at offsets of any shape."""
    colors = [(1 - offset, color) for offset, color in fill.colors()[::-1]] if is_reversed else fill.colors()
    places, stops = [offset for offset, _ in colors], [parse_color(color) for _, color in colors]
    bands = [[rgb[band] for rgb, _ in stops] for band in range(3)] + [[opacity * 255 for _, opacity in stops]]
    values = [np.interp(offsets, places, band) for band in bands]
    return np.rint(np.stack(values, axis=-1)).astype(np.uint8)


def _conic_pixels(fill: Gradient, center: tuple[float, float], part: Window) -> Pixels:
    """Compute the colors of a part of a conic gradient, which SVG does not have."""
    left, top, width, height = part
    x, y = np.arange(left, left + width) + 0.5 - center[0], np.arange(top, top + height) + 0.5 - center[1]
    colors = _gradient_colors(fill, (np.arange(CONIC_COLORS) + 0.5) / CONIC_COLORS)
    pixels = np.empty((height, width, 4), np.uint8)
    # In strips: floating-point numbers of all pixels would take several times the memory of the result.
    step = max(STRIP // width, 1)
    for start in range(0, height, step):
        turn = np.degrees(np.arctan2(y[start : start + step, None], x)) - fill.angle
        pixels[start : start + step] = colors[(turn % 360 * (CONIC_COLORS / 360)).astype(np.intp) % CONIC_COLORS]
    return pixels


def _render_shape(
    x: int,
    y: int,
    width: int,
    height: int,
    geometry: str,
    fill: Fill | None,
    border: Border | None,
    margin: int = 0,
    window: Window | None = None,
) -> Patch:
    """Render an SVG element with a fill and a border, at (x, y) without its margin, as far as it is in a window."""
    if isinstance(fill, Gradient) and fill.type == "conic":
        inner = _visible_part(x, y, width, height, 0, window)
        mask = _render_part(inner, _paint_shape(geometry, "#ffffff", None))[..., 3]
        pixels = _conic_pixels(fill, (width / 2, height / 2), inner)
        inside = Patch(x + inner[0], y + inner[1], pixels, pixels[..., 3].copy()).clipped(mask)
        return merge_patches([inside, _render_shape(x, y, width, height, geometry, None, border, margin, window)])
    part = _visible_part(x, y, width, height, margin, window)
    pixels = _render_part(part, _paint_shape(geometry, fill, border))
    return Patch(x + part[0], y + part[1], pixels, pixels[..., 3].copy())


def _visible_part(x: int, y: int, width: int, height: int, margin: int, window: Window | None) -> Window:
    """Return which part of a shape with its margin is in a window, relative to (x, y): one pixel if there is none."""
    sides = []
    for position, length, at in ((x, width, 0), (y, height, 1)):
        first, last = -margin, length + margin
        if window is not None:
            first = min(max(window[at] - position, first), last - 1)
            last = max(min(window[at] + window[at + 2] - position, last), first + 1)
        sides.append((first, last - first))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _star(x: float, y: float, radius: float) -> str:
    corners = (
        (x + sin(at * pi / 5) * reach, y - cos(at * pi / 5) * reach)
        for at in range(10)
        for reach in [radius if at % 2 == 0 else radius * STAR_INNER]
    )
    return f'<polygon points="{" ".join(f"{a:.2f},{b:.2f}" for a, b in corners)}"/>'


def _patch(x: int, y: int, pixels: Pixels) -> Patch:
    return Patch(x, y, pixels, pixels[..., 3].copy())


def _render(width: int, height: int, body: str) -> Pixels:
    """Render an SVG fragment."""
    return _render_part((0, 0, width, height), body)


def _render_part(part: Window, body: str) -> Pixels:
    """Render the part of an SVG fragment in a box."""
    left, top, width, height = part
    view = f'viewBox="{left} {top} {width} {height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {view}>{body}</svg>'
    return to_pixels(pyvips.Image.svgload_buffer(svg.encode()))


def _paint_shape(geometry: str, fill: Fill | None, border: Border | None) -> str:
    definitions, paint = _fill(fill)
    stroke = f' stroke-width="{border.width}" {_paint("stroke", border.color)}' if border else ""
    if border and border.dash:
        stroke += f' stroke-dasharray="{border.dash}"'
    return f"{definitions}{geometry} {paint}{stroke}/>"


def _fill(fill: Fill | None) -> tuple[str, str]:
    if not isinstance(fill, Gradient):
        return "", _paint("fill", fill)
    stops = "".join(f'<stop offset="{offset}" {_paint("stop", color)}/>' for offset, color in fill.colors())
    if fill.type == "radial":
        return f'<defs><radialGradient id="fill" r="0.71">{stops}</radialGradient></defs>', 'fill="url(#fill)"'
    dx, dy = cos(radians(fill.angle)) / 2, sin(radians(fill.angle)) / 2
    line = f'x1="{0.5 - dx:.4f}" y1="{0.5 - dy:.4f}" x2="{0.5 + dx:.4f}" y2="{0.5 + dy:.4f}"'
    return f'<defs><linearGradient id="fill" {line}>{stops}</linearGradient></defs>', 'fill="url(#fill)"'


def _paint(attribute: str, color: str | None) -> str:
    if color is None:
        return f'{attribute}="none"'
    opacity = f' {attribute}-opacity="{int(color[7:9], 16) / 255:.4f}"' if len(color) == 9 else ""
    name = "stop-color" if attribute == "stop" else attribute
    return f'{name}="{color[:7]}"{opacity}'
