"""The benchmark's cards as templates, and the photo card and the text card as rendered by Pillow.

The photo card (1200 x 630) has a JPEG photo of 2000 x 1300 as background, a gradient, a round logo, a badge and three
texts that differ in every image. The text card has a plain background and the same three texts. The catalog card is in
`catalog.py`.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons

ROOT = Path(__file__).parent.parent
install_fonts(ROOT / "node_modules", Path(tempfile.gettempdir()) / "cwz-bench-fonts")
install_icons(ROOT / "node_modules")

import catalog  # noqa: E402 - fontconfig reads its configuration once
import pyvips  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from cwz_web.imaging.decoding import Source  # noqa: E402
from cwz_web.imaging.documents import ImageTemplate  # noqa: E402
from cwz_web.imaging.encoders import Format, Output  # noqa: E402
from cwz_web.imaging.engine import Engine, Plan  # noqa: E402

WIDTH, HEIGHT = 1200, 630
INTER = ROOT / "node_modules/@expo-google-fonts/inter"
FONTS = {
    weight: INTER / name / f"Inter_{name}.ttf"
    for weight, name in ((400, "400Regular"), (700, "700Bold"), (800, "800ExtraBold"))
}


def create_photo(width: int, height: int, seed: int = 1) -> bytes:
    """Return a JPEG (4:2:0) with the smooth areas and the noise of a photo."""
    bands = [pyvips.Image.perlin(width, height, cell_size=size, seed=seed + size) for size in (256, 190, 310)]
    smooth = bands[0].bandjoin(bands[1:]) * 100 + 128
    grainy = smooth + pyvips.Image.gaussnoise(width, height, mean=0, sigma=6, seed=seed)
    image = grainy.cast("uchar").copy(interpretation="srgb")
    data: bytes = image.jpegsave_buffer(Q=88, subsample_mode="on")
    return data


PHOTO, LOGO = create_photo(2000, 1300), create_photo(400, 400, seed=9)
PRODUCT, TRIMMED_PRODUCT = catalog.create_photo()
SOURCES = {"photo": Source.of(PHOTO), "logo": Source.of(LOGO), "product": Source.of(PRODUCT)}


def _layer(layer_type: str, name: str, x: int, y: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    return {"type": layer_type, "name": name, "x": x, "y": y, "width": width, "height": height, **more}


_TEXTS = [
    _layer("text", "title", 60, 300, 1000, 170, text="{{ title }}", size=68, weight=800, color="#ffffff", max_lines=2),
    _layer("text", "subtitle", 60, 500, 1000, 50, text="{{ subtitle }}", size=32, color="#ffffff"),
    _layer("text", "price", 900, 60, 240, 90, text="{{ price }}", size=40, weight=700, color="#ffffff")
    | {"align": "center", "valign": "middle"},
]
_IMAGES = [
    _layer("image", "photo", 0, 0, WIDTH, HEIGHT, source="photo"),
    _layer("shape", "shade", 0, 0, WIDTH, HEIGHT, fill={"start": "#00000000", "end": "#000000cc", "angle": 90}),
    _layer("image", "logo", 60, 50, 96, 96, source="logo", radius=48),
    _layer("shape", "badge", 900, 60, 240, 90, fill="#ff3355", radius=45),
]


def _card(layers: list[dict[str, Any]]) -> ImageTemplate:
    fields = [{"name": name, "label": name} for name in ("title", "subtitle", "price")]
    canvas = {"width": WIDTH, "height": HEIGHT, "background": "#101020"}
    return ImageTemplate.model_validate({"canvas": canvas, "fields": fields, "layers": layers})


CARDS = {"photo_card": _card(_IMAGES + _TEXTS), "text_card": _card(_TEXTS), "catalog_card": catalog.TEMPLATE}
# Those that Pillow renders as well, without a layout.
PLAIN_CARDS = ("photo_card", "text_card")
OUTPUTS = {"jpeg": Output(format=Format.JPEG), "png": Output(format=Format.PNG)}


def row(number: int, card: str = "photo_card") -> dict[str, str]:
    """Return a row with unique texts."""
    if card == "catalog_card":
        return catalog.row(number)
    return {
        "title": f"Summer sale {number}: all for long days outside",
        "subtitle": f"Only this week, number {number}, in every shop and online",
        "price": f"€ {number}.90",
    }


def load_source(reference: str) -> Source:
    """Return a source, as `generation.image_sources` does for a cached one."""
    return SOURCES[reference]


def plan_card(card: str, engine: Engine | None = None) -> Plan:
    """Return the plan of a card."""
    return (engine or Engine()).plan(CARDS[card])


def render_card(plan: Plan, number: int, output: Output, card: str = "photo_card") -> bytes:
    """Render and encode a row of a card."""
    values = plan.fill_values(row(number, card))
    return plan.render(values, plan.load_sources(values, load_source), output).data


class PillowCard:
    """The same card, rendered with Pillow; static layers are also composed only once."""

    def __init__(self, card: str) -> None:
        self.base = Image.new("RGB", (WIDTH, HEIGHT), "#101020") if card == "text_card" else self._photo()
        self.fonts = {
            size: ImageFont.truetype(str(FONTS[weight]), size) for size, weight in ((68, 800), (32, 400), (40, 700))
        }

    def _photo(self) -> Image.Image:
        base = Image.open(io.BytesIO(PHOTO)).resize((WIDTH, HEIGHT)).convert("RGBA")
        shade = Image.new("L", (1, 256))
        for level in range(256):
            shade.putpixel((0, level), int(level * 0.8))
        base.alpha_composite(
            Image.merge("RGBA", [Image.new("L", (WIDTH, HEIGHT))] * 3 + [shade.resize((WIDTH, HEIGHT))])
        )
        mask = Image.new("L", (96, 96))
        ImageDraw.Draw(mask).ellipse((0, 0, 95, 95), fill=255)
        base.paste(Image.open(io.BytesIO(LOGO)).resize((96, 96)), (60, 50), mask)
        ImageDraw.Draw(base).rounded_rectangle((900, 60, 1140, 150), 45, fill="#ff3355")
        return base.convert("RGB")

    def render(self, number: int, output: Output) -> bytes:
        """Render and encode a row."""
        values = row(number)
        canvas = self.base.copy()
        pen = ImageDraw.Draw(canvas)
        words, lines = values["title"].split(), [""]
        for word in words:
            longer = f"{lines[-1]} {word}".strip()
            if pen.textlength(longer, self.fonts[68]) <= 1000:
                lines[-1] = longer
            else:
                lines.append(word)
        for at, line in enumerate(lines[:2]):
            pen.text((60, 300 + at * 82), line, "#ffffff", self.fonts[68])
        pen.text((60, 500), values["subtitle"], "#ffffff", self.fonts[32])
        pen.text((1020, 105), values["price"], "#ffffff", self.fonts[40], anchor="mm")
        out = io.BytesIO()
        if output.format is Format.JPEG:
            canvas.save(out, "JPEG", quality=output.quality)
        else:
            canvas.save(out, "PNG")
        return out.getvalue()
