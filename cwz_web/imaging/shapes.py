"""Shapes: SVG of our own making, drawn by librsvg inside libvips. No customer's SVG ever comes here."""

from functools import lru_cache
from math import cos, radians, sin

import numpy as np
import pyvips

from cwz_web.imaging.canvas import Patch, Pixels, faded
from cwz_web.imaging.documents import Gradient, ShapeLayer


def draw_shape(layer: ShapeLayer) -> Patch:
    """The layer as a patch."""
    inset = layer.stroke_width / 2
    width, height = max(layer.width - layer.stroke_width, 0), max(layer.height - layer.stroke_width, 0)
    if layer.shape == "ellipse":
        geometry = f'<ellipse cx="{layer.width / 2}" cy="{layer.height / 2}" rx="{width / 2}" ry="{height / 2}"'
    else:
        geometry = f'<rect x="{inset}" y="{inset}" width="{width}" height="{height}" rx="{layer.radius}"'
    definitions, fill = _fill(layer.fill)
    stroke = f' stroke-width="{layer.stroke_width}" {_paint("stroke", layer.stroke)}' if layer.stroke else ""
    pixels = _render(layer.width, layer.height, f"{definitions}{geometry} {fill}{stroke}/>")
    return _patch(layer.x, layer.y, pixels, layer.opacity)


@lru_cache(maxsize=64)
def draw_placeholder(x: int, y: int, width: int, height: int, radius: float, colour: str, opacity: float) -> Patch:
    """What stands where a picture is missing: an area with a small frame, a sun and a hill in its middle."""
    side = min(width, height) * 0.22
    sign = (
        '<g fill="none" stroke="#000" stroke-opacity=".22" stroke-width="1.6" stroke-linejoin="round">'
        '<rect x="1" y="3" width="22" height="18" rx="3"/><circle cx="8" cy="9" r="2"/>'
        '<path d="M2 19l6-6 4 4 5-6 6 7"/></g>'
    )
    place = f"translate({(width - side) / 2:.2f} {(height - side) / 2:.2f}) scale({side / 24:.4f})"
    area = (
        f'<rect width="{width}" height="{height}" rx="{min(radius, width / 2, height / 2)}" {_paint("fill", colour)}/>'
    )
    return _patch(x, y, _render(width, height, f'{area}<g transform="{place}">{sign}</g>'), opacity)


@lru_cache(maxsize=256)
def rounded_mask(width: int, height: int, radius: float) -> Pixels:
    """A mask (height, width) of a rectangle with round corners; a radius of half the side makes a circle."""
    body = f'<rect width="{width}" height="{height}" rx="{min(radius, width / 2, height / 2)}"/>'
    return _render(width, height, body)[..., 3].copy()


def _patch(x: int, y: int, pixels: Pixels, opacity: float) -> Patch:
    return Patch(x, y, np.ascontiguousarray(pixels[..., :3]), faded(pixels[..., 3].copy(), opacity))


def _render(width: int, height: int, body: str) -> Pixels:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{body}</svg>'
    pixels: Pixels = pyvips.Image.svgload_buffer(svg.encode()).numpy()
    return pixels


def _fill(fill: str | Gradient | None) -> tuple[str, str]:
    if not isinstance(fill, Gradient):
        return "", _paint("fill", fill)
    across, down = cos(radians(fill.angle)) / 2, sin(radians(fill.angle)) / 2
    stops = f'<stop offset="0" {_paint("stop", fill.start)}/><stop offset="1" {_paint("stop", fill.end)}/>'
    line = f'x1="{0.5 - across:.4f}" y1="{0.5 - down:.4f}" x2="{0.5 + across:.4f}" y2="{0.5 + down:.4f}"'
    return f'<defs><linearGradient id="fill" {line}>{stops}</linearGradient></defs>', 'fill="url(#fill)"'


def _paint(attribute: str, colour: str | None) -> str:
    if colour is None:
        return f'{attribute}="none"'
    opacity = f' {attribute}-opacity="{int(colour[7:9], 16) / 255:.4f}"' if len(colour) == 9 else ""
    name = "stop-color" if attribute == "stop" else attribute
    return f'{name}="{colour[:7]}"{opacity}'
