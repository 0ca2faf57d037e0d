"""Draw docs/images/starters.jpg: each starter, in each of its sizes, with rows that are hard to design for."""

from pathlib import Path
from tempfile import TemporaryDirectory

from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons

ROOT = Path(__file__).parent.parent
FONTS = TemporaryDirectory()
install_fonts(ROOT / "node_modules", Path(FONTS.name))
install_icons(ROOT / "node_modules")

import numpy as np  # noqa: E402 - fontconfig reads its configuration once
from PIL import Image  # noqa: E402

from cwz_web.demo import contents  # noqa: E402
from cwz_web.demo.starters import Starter, list_starters, open_starter  # noqa: E402
from cwz_web.imaging.decoding import Source  # noqa: E402
from cwz_web.imaging.documents import DEFAULT_SIZE  # noqa: E402
from cwz_web.imaging.engine import Engine  # noqa: E402
from cwz_web.imaging.errors import SourceMissingError  # noqa: E402

SHEET = ROOT / "docs" / "images" / "starters.jpg"
WIDTH, GAP = 240, 8
# The field that a long, a short, an Arabic and a Japanese text is tried in.
TITLES = {"sale-badge": "headline", "quote": "quote", "certificate": "name"}
LONG = (
    "A reading lamp of bottle green glass with a brushed brass stem, a dimmer, a woven cable of three meters"
    " and a bulb that lasts fifteen years"
)
PHOTOS = ("mug", "clock", "bottle", "chair")
ROWS: dict[str, dict[str, str]] = {
    "default values": {},
    "no price": dict.fromkeys(("price", "percent", "button", "date", "code"), ""),
    "no photo": dict.fromkeys(("image", "link"), ""),
    "no old price": dict.fromkeys(("old_price", "until", "subtitle", "role", "category"), ""),
    "long title": {"": LONG},
    "short title": {"": "Hi"},
    "Arabic": {"": "مصباح قراءة أخضر من الزجاج بساق نحاسية"},
    "Japanese": {"": "真鍮の脚が付いたボトルグリーンのガラス製読書ランプ"},
    "five photos": {"photos": "\n".join(f"https://photos.example/{name}" for name in PHOTOS)},
}


def draw(starter: Starter, size: str, changes: dict[str, str]) -> Image.Image | None:
    """Return the image of a starter with changed values; None if it has none of the fields."""
    fields = {field.name for field in starter.document.fields}
    named = {name or TITLES.get(starter.entry.slug, "title"): value for name, value in changes.items()}
    values = {name: value for name, value in named.items() if name in fields}
    if changes and not values:
        return None
    uploads = {f"upload:{source.digest}": source for source in starter.illustrations}

    def load(reference: str) -> Source:
        name = reference.rpartition("/")[2]
        if name in PHOTOS:
            return Source.of(contents.render_illustration(name))
        if reference not in uploads:
            raise SourceMissingError("The row has no image")
        return uploads[reference]

    plan = Engine().plan(starter.document, size)
    row = plan.fill_values(values)
    pixels = plan.compose(row, plan.load_sources(row, load)).pixels[..., :3]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)


def main() -> None:
    starters = [open_starter(slug) for slug in list_starters()]
    sizes = [(starter, DEFAULT_SIZE) for starter in starters]
    sizes += [(starter, size.name) for starter in starters for size in starter.document.sizes]
    lines = [[draw(starter, size, changes) for changes in ROWS.values()] for starter, size in sizes]
    heights = [max(image.height for image in line if image) for line in lines]
    sheet = Image.new("RGB", (len(ROWS) * (WIDTH + GAP) + GAP, sum(heights) + GAP * (len(lines) + 1)), "#8a8a8a")
    top = GAP
    for line, height in zip(lines, heights, strict=True):
        for at, image in enumerate(line):
            if image:
                sheet.paste(image, (GAP + at * (WIDTH + GAP), top))
        top += height + GAP
    SHEET.parent.mkdir(exist_ok=True)
    sheet.save(SHEET, quality=85)


if __name__ == "__main__":
    main()
