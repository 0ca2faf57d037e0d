"""What the demo workspace shows: a small shop of our own invention, with pictures drawn by program."""

from typing import NamedTuple

import pyvips

EMAIL = "demo@connectwyze.example"
NAME = "Demo person"
WORKSPACE = "Harbour Goods"
SLUG = "demo"
TEMPLATE = "Product card"
FEED = "Harbour Goods, autumn"
SIDE = 900
COLUMNS = ("sku", "title", "brand", "description", "price", "compare_at_price", "image")


class Product(NamedTuple):
    """A row of the demo feed; `wall` and `table` are colours, `drawing` is the SVG of what stands there."""

    sku: str
    title: str
    brand: str
    description: str
    price: str
    compare_at_price: str
    wall: str
    table: str
    drawing: str


MUG = """<ellipse cx="450" cy="700" rx="190" ry="26" fill="#000" opacity=".12"/>
<path d="M300 360h300v270a70 70 0 0 1-70 70H370a70 70 0 0 1-70-70z" fill="{a}"/><path d="M300 500h300v130a70 70 0 0 1-70 70H370a70 70 0 0 1-70-70z" fill="{b}"/>
<path d="M600 410h40a90 90 0 0 1 0 180h-40" fill="none" stroke="{a}" stroke-width="38"/><ellipse cx="450" cy="360" rx="150" ry="30" fill="{c}"/>"""
LAMP = """<ellipse cx="450" cy="730" rx="170" ry="24" fill="#000" opacity=".12"/><rect x="438" y="380" width="24" height="340" fill="{b}"/>
<path d="M310 400 380 200h140l70 200z" fill="{a}"/><path d="M310 400h280l60 220H250z" fill="#fff" opacity=".18"/><rect x="350" y="700" width="200" height="34" rx="17" fill="{b}"/>"""
PLANT = """<ellipse cx="450" cy="740" rx="180" ry="24" fill="#000" opacity=".12"/><path d="M330 540h240l-34 200H364z" fill="{a}"/><rect x="310" y="510" width="280" height="60" rx="16" fill="{b}"/>
<path d="M450 520C440 380 350 320 270 310c10 100 80 190 180 210z" fill="{c}"/><path d="M450 520c10-160 90-230 190-250-6 120-80 220-190 250z" fill="{c}" opacity=".85"/><path d="M450 520c-40-130-30-230 10-310 50 90 50 200-10 310z" fill="{c}" opacity=".7"/>"""
CLOCK = """<circle cx="450" cy="450" r="230" fill="{a}"/><circle cx="450" cy="450" r="190" fill="{b}"/><g stroke="{a}" stroke-width="18" stroke-linecap="round"><path d="M450 450V320M450 450l90 60"/></g>
<g fill="{a}"><circle cx="450" cy="290" r="10"/><circle cx="610" cy="450" r="10"/><circle cx="450" cy="610" r="10"/><circle cx="290" cy="450" r="10"/></g><circle cx="450" cy="450" r="16" fill="{c}"/>"""
BOTTLE = """<ellipse cx="450" cy="740" rx="140" ry="22" fill="#000" opacity=".12"/><rect x="410" y="170" width="80" height="70" rx="14" fill="{b}"/><path d="M410 240h80v60c70 40 90 90 90 150v220a70 70 0 0 1-70 70H390a70 70 0 0 1-70-70V450c0-60 20-110 90-150z" fill="{a}"/>
<rect x="320" y="490" width="260" height="130" fill="{c}"/><rect x="356" y="330" width="26" height="330" rx="13" fill="#fff" opacity=".3"/>"""
BOOK = """<ellipse cx="450" cy="700" rx="230" ry="24" fill="#000" opacity=".12"/><rect x="260" y="600" width="380" height="80" rx="12" fill="{a}"/><rect x="280" y="612" width="360" height="56" fill="#fff"/><rect x="300" y="510" width="340" height="80" rx="12" fill="{b}"/><rect x="320" y="522" width="320" height="56" fill="#fff"/>
<rect x="280" y="420" width="330" height="80" rx="12" fill="{c}"/><rect x="300" y="432" width="310" height="56" fill="#fff"/>"""
CHAIR = """<ellipse cx="450" cy="760" rx="210" ry="24" fill="#000" opacity=".12"/><g stroke="{b}" stroke-width="22" stroke-linecap="round"><path d="M340 580 300 750M560 580l40 170M400 580l-10 160M500 580l10 160"/></g>
<path d="M310 240a60 60 0 0 1 60-60h160a60 60 0 0 1 60 60l-20 260H330z" fill="{a}"/><rect x="290" y="490" width="320" height="96" rx="40" fill="{c}"/>"""
SOAP = """<ellipse cx="450" cy="690" rx="230" ry="26" fill="#000" opacity=".12"/><rect x="240" y="590" width="420" height="90" rx="24" fill="{b}"/><rect x="280" y="470" width="340" height="140" rx="60" fill="{a}"/>
<rect x="330" y="510" width="240" height="60" rx="30" fill="#fff" opacity=".35"/><circle cx="560" cy="400" r="46" fill="{c}" opacity=".7"/><circle cx="640" cy="330" r="28" fill="{c}" opacity=".6"/><circle cx="500" cy="330" r="20" fill="{c}" opacity=".6"/>"""

PRODUCTS = (
    Product("HG-101", "Stoneware mug “Tide”", "Harbour Goods", "Thrown by hand and glazed in two shades of blue. Keeps a morning’s coffee warm.", "€ 24", "", "#cfe3ea", "#b4d0da", MUG.format(a="#2f6f8f", b="#e9f1f3", c="#1d4a61")),
    Product("HG-102", "Reading lamp “Lantern”", "Nordlys", "Oak stem, linen shade, and a light that is kind to tired eyes.", "€ 89", "€ 119", "#f6dfb8", "#e9c98e", LAMP.format(a="#e4572e", b="#5b3b20")),
    Product("HG-103", "Olive tree in a terracotta pot", "Grønt", "Half a metre tall. Likes a sunny window and very little water.", "€ 35", "", "#dfe9d5", "#c7d8b7", PLANT.format(a="#c96f43", b="#b35d34", c="#4d7c4a")),
    Product("HG-104", "Wall clock without a tick", "Nordlys", "A quiet movement behind a face of birch.", "€ 64", "", "#e7dff2", "#d3c5e8", CLOCK.format(a="#3b2f63", b="#fbf7ef", c="#e4572e")),
    Product("HG-105", "Bottle “Fjord”, 0.75 litres", "Harbour Goods", "Steel inside, colour outside: cold for a day, warm for half of one.", "€ 29", "€ 39", "#d4ecea", "#b3dad6", BOTTLE.format(a="#138086", b="#0d4f55", c="#f4b942")),
    Product("HG-106", "Three notebooks, sewn", "Papir & Co", "Dotted, ruled and blank: 96 pages each, lying flat.", "€ 18", "", "#f9dcd4", "#f0bfb2", BOOK.format(a="#c8553d", b="#f28f3b", c="#588b8b")),
    Product("HG-107", "Chair “Skipper” with an upholstered seat and a back of bent beech", "Nordlys", "A chair for long dinners. The wool comes off for washing.", "€ 249", "€ 299", "#dde3ee", "#c0cbdf", CHAIR.format(a="#3d5a80", b="#2b2b2b", c="#ee6c4d")),
    Product("HG-108", "Sea-salt soap", "Grønt", "Boiled in small batches with rosemary from the garden.", "€ 9", "", "#eee6d8", "#ddd0b8", SOAP.format(a="#7fb7a3", b="#a47148", c="#ffffff")),
)


def draw(product: Product) -> bytes:
    """The product's picture, as a JPEG."""
    body = (
        f'<defs><radialGradient id="l" cx=".3" cy=".2" r="1"><stop offset="0" stop-color="#fff" stop-opacity=".55"/>'
        f'<stop offset="1" stop-color="#fff" stop-opacity="0"/></radialGradient></defs>'
        f'<rect width="{SIDE}" height="{SIDE}" fill="{product.wall}"/><rect y="640" width="{SIDE}" height="260" fill="{product.table}"/>'
        f'{product.drawing}<rect width="{SIDE}" height="{SIDE}" fill="url(#l)"/>'
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}">{body}</svg>'
    jpeg: bytes = pyvips.Image.svgload_buffer(svg.encode()).flatten().jpegsave_buffer(Q=90, keep="none")
    return jpeg
