"""Contents of the demo workspace: a fictional shop, with its own illustrations."""

import csv
import io
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import pyvips

EMAIL = "demo@connectwyze.example"
NAME = "Demo user"
WORKSPACE = "Harbour Goods"
SLUG = "demo"
TEMPLATE = "Product card"
FEED = "Harbour Goods, autumn"
FILE = "products.csv"
IMAGE = "image"
OPAQUE = 255

_here = files(__package__)


def read_products() -> list[dict[str, str]]:
    """Return the rows of the demo feed; `image` is the name of an illustration."""
    return list(csv.DictReader(io.StringIO(_here.joinpath(FILE).read_text())))


def read_template() -> dict[str, Any]:
    """Return the document of the demo template."""
    document: dict[str, Any] = json.loads(_here.joinpath("template.json").read_text())
    return document


@lru_cache(maxsize=64)
def render_illustration(name: str) -> bytes:
    """Return an illustration as JPEG, or as PNG if it has a transparent ground."""
    svg = _here.joinpath("illustrations", f"{name}.svg").read_bytes()
    image = pyvips.Image.svgload_buffer(svg)
    if image[-1].min() == OPAQUE:
        jpeg: bytes = image.flatten().jpegsave_buffer(Q=90, keep="none")
        return jpeg
    png: bytes = image.pngsave_buffer(compression=6, keep="none")
    return png


def write_csv(rows: list[dict[str, str]]) -> bytes:
    """Return the rows as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
