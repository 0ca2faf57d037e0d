"""The catalog card (1080 x 1080): nested stacks, wrapped tags, prices of six spans, a trimmed photo and blend modes.

The row differs in title, tags and prices; the photo's room depends on how many lines they take. The peers lay out the
same card themselves, from HTML with flexbox.
"""

from html import escape
from typing import Any

import pyvips

from cwz_web.imaging.documents import ImageTemplate

SIDE = 1080
GROUND = (251, 251, 249)
GROUND_COLOR = f"#{bytes(GROUND).hex()}"
# The whole photo, and the product in it: left, top, width and height.
PHOTO_SIDE, PRODUCT = 1800, (500, 300, 620, 1200)
# How much of the photo the peers get, which cannot find the product themselves: with the padding of `trim`, 8 %.
TRIMMED_HEIGHT = round(PRODUCT[3] / (1 - 2 * 0.08))

_BOTTLE = f"""<svg xmlns="http://www.w3.org/2000/svg" width="{PHOTO_SIDE}" height="{PHOTO_SIDE}">
  <defs><linearGradient id="glass"><stop offset="0" stop-color="#123f5c"/><stop offset=".3" stop-color="#5fb3c9"/>
    <stop offset=".45" stop-color="#2a7f9f"/><stop offset="1" stop-color="#0d2f49"/></linearGradient></defs>
  <rect x="680" y="300" width="260" height="170" rx="24" fill="#c98b3c"/>
  <path d="M700 470h220v110c0 60 200 90 200 220v620q0 80-80 80h-460q-80 0-80-80v-620c0-130 200-160 200-220z"
    fill="url(#glass)"/>
  <rect x="500" y="930" width="620" height="330" fill="#f6e7c8"/>
  <circle cx="810" cy="1095" r="110" fill="#d2553a"/></svg>"""


def create_photo() -> tuple[bytes, bytes]:
    """Return the JPEG of a product on a near-white ground, and the part of it that a trimmed photo shows."""
    product = pyvips.Image.svgload_buffer(_BOTTLE.encode()).flatten(background=list(GROUND))
    noise = pyvips.Image.gaussnoise(PHOTO_SIDE, PHOTO_SIDE, mean=0, sigma=1.5, seed=3)
    image = (product + noise).cast("uchar").copy(interpretation="srgb")
    left, top, width, height = PRODUCT
    trimmed = image.crop(left, top - (TRIMMED_HEIGHT - height) // 2, width, TRIMMED_HEIGHT)
    whole_file, trimmed_file = (each.jpegsave_buffer(Q=90) for each in (image, trimmed))
    return whole_file, trimmed_file


def _text(name: str, size: int, **more: Any) -> dict[str, Any]:
    sizing = {"width": "hug", "height": "hug"}
    return {"type": "text", "name": name, "size": size, "color": "#1c2434", "sizing": sizing, **more}


def _stack(name: str, layers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    sizing = {"width": "fill", "height": "hug"}
    return {"type": "stack", "name": name, "layers": layers, "sizing": sizing, **more}


_FILL = {"width": "fill", "height": "fill"}
_PHOTO = {"type": "image", "name": "Photo", "source": "product", "fit": "trim", "sizing": _FILL} | {
    "blend": "multiply",
    "radius": 28,
}
_PRICE = [
    {"text": "€ ", "scale": 0.6},
    {"text": "{{ euros }}"},
    {"text": "{{ cents }}", "position": "super", "scale": 0.5},
]
_OLD_PRICE = [
    {"text": "instead of "},
    {"text": "{{ old_price }}", "strike": True},
    {"text": " –{{ discount }} %", "weight": 700, "color": "#d2352b"},
]
_CARD = [
    _stack("Stage", [_PHOTO], sizing=_FILL, background="#dfe8f5", radius=28),
    _text("Brand", 26, text="NORTHWIND OUTDOOR", weight=700, color="#5a6478"),
    _text("Title", 48, text="{{ title }}", weight=800, max_lines=2, sizing={"width": "fill", "height": "hug"}),
    _stack(
        "Tags",
        [_text("Tag", 24, text="{{ item }}", weight=700, background="#eaeef6", padding=12, radius=20)],
        direction="row",
        gap=12,
        wrap=True,
        repeat={"field": "tags", "limit": 6},
    ),
    _stack(
        "Prices",
        [_text("Price", 84, spans=_PRICE, weight=800), _text("Old price", 30, spans=_OLD_PRICE, color="#5a6478")],
        direction="row",
        gap=24,
        align="baseline",
    ),
]
TEMPLATE = ImageTemplate.model_validate(
    {
        "canvas": {"width": SIDE, "height": SIDE, "background": {"start": "#2b4a7f", "end": "#7f3f5e", "angle": 0}},
        "fields": [
            {"name": name, "label": name, "type": "list" if name == "tags" else "text"}
            for name in ("title", "tags", "euros", "cents", "old_price", "discount")
        ],
        "layers": [
            _stack("Card", _CARD, x=80, y=80, width=920, height=920, padding=44, gap=22, sizing={})
            | {"background": "#ffffff", "radius": 44, "shadow": {"color": "#00000080", "x": 0, "y": 20, "blur": 24}},
            {"type": "shape", "name": "Glow", "x": 0, "y": 0, "width": SIDE, "height": 540, "blend": "screen"}
            | {"fill": {"start": "#ffb060b0", "end": "#ffb06000", "angle": 90}},
        ],
    }
)

_PRODUCTS = ("Bottle", "Insulated bottle for long tours", "Steel bottle", "Bottle with a lid for children and pets")
_TAGS = ("new", "0.75 litres", "leak-proof", "dishwasher-safe", "keeps warm for 12 hours", "free of BPA")


def row(number: int) -> dict[str, str]:
    """Return a row with a unique title and price, and with three to five tags."""
    count = 3 + number % 3
    return {
        "title": f"{_PRODUCTS[number % len(_PRODUCTS)]}, edition {number}",
        "tags": "|".join(_TAGS[(number + at) % len(_TAGS)] for at in range(count)),
        "euros": str(20 + number % 70),
        "cents": f"{number * 7 % 100:02}",
        "old_price": f"€ {99 + number % 900}.90",
        "discount": str(20 + number % 60),
    }


def to_parts(values: dict[str, str]) -> dict[str, str]:
    """Return what differs from row to row as HTML, by the id of its element."""
    texts = {name: escape(value) for name, value in values.items()}
    tags = "".join(f'<div style="{_TAG}">{tag}</div>' for tag in texts["tags"].split("|"))
    return {**texts, "tags": tags, "discount": f"&nbsp;–{texts['discount']} %"}


def to_html(values: dict[str, str], photo: str) -> str:
    """Return the card as HTML with styles that takumi, satori and Chromium support; `photo` is the trimmed one."""
    parts = to_parts(values)
    html = f"""<div style="{_CANVAS}"><div style="{_BOX}">
<div style="{_STAGE}"><img src="{photo}" style="{_IMAGE}"></div>
<div style="{_text_style(700, 26)};color:#5a6478">NORTHWIND OUTDOOR</div>
<div id="title" style="{_text_style(800, 48)}">{parts["title"]}</div>
<div id="tags" style="display:flex;flex-wrap:wrap;gap:12px">{parts["tags"]}</div>
<div style="display:flex;align-items:baseline;gap:24px">
<div style="display:flex;align-items:baseline;{_text_style(800, 84)}">
<div style="font-size:50.4px">€&nbsp;</div><div id="euros">{parts["euros"]}</div>
<div id="cents" style="font-size:42px;position:relative;top:-30.5px">{parts["cents"]}</div></div>
<div style="display:flex;{_text_style(400, 30)};color:#5a6478"><div>instead of&nbsp;</div>
<div id="old_price" style="text-decoration:line-through">{parts["old_price"]}</div>
<div id="discount" style="color:#d2352b;font-weight:700">{parts["discount"]}</div></div></div></div>
<div style="{_GLOW}"></div></div>"""
    return html.replace("\n", "")  # satori lays out blanks as well


def _text_style(weight: int, size: int) -> str:
    return f"font-family:Inter;font-weight:{weight};font-size:{size}px;line-height:1.2"


_CANVAS = (
    f"display:flex;position:relative;width:{SIDE}px;height:{SIDE}px;background:linear-gradient(90deg,#2b4a7f,#7f3f5e);"
    "font-family:Inter;color:#1c2434"
)
_BOX = (
    "display:flex;flex-direction:column;position:absolute;left:80px;top:80px;width:920px;height:920px;padding:44px;"
    "gap:22px;box-sizing:border-box;background:#ffffff;border-radius:44px;box-shadow:0 20px 48px rgba(0,0,0,0.5)"
)
_STAGE = "display:flex;flex:1;min-height:0;background:#dfe8f5;border-radius:28px"
_IMAGE = (
    f"width:100%;height:100%;object-fit:contain;background:{GROUND_COLOR};mix-blend-mode:multiply;border-radius:28px"
)
_TAG = f"{_text_style(700, 24)};padding:12px;border-radius:20px;background:#eaeef6"
_GLOW = (
    f"position:absolute;left:0;top:0;width:{SIDE}px;height:540px;mix-blend-mode:screen;"
    "background:linear-gradient(180deg,rgba(255,176,96,0.69),rgba(255,176,96,0))"
)
