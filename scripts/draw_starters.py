"""Draw the contact sheets of the starters in docs/images: all their sizes, and rows that are hard to design for."""

from collections.abc import Iterator
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

FOLDER = ROOT / "docs" / "images"
GROUND = "#8a8a8a"
GAP, SHEET_WIDTH = 8, 1600
# The height of a starter in the sheet of sizes, and the width of an image in the sheets of rows.
HEIGHT, WIDTH = 150, 168
LINES_PER_SHEET = 17
LONG = (
    "A reading lamp of bottle green glass with a brushed brass stem, a dimmer, a woven cable of three meters"
    " and a bulb that lasts fifteen years"
)
PHOTOS = ("mug", "clock", "bottle", "chair", "soap")
TITLES = ("title", "headline", "quote", "name")
ROWS: dict[str, dict[str, str]] = {
    "default values": {},
    "no price": dict.fromkeys(("price", "percent", "salary", "button", "date", "code", "number"), ""),
    "no photo": dict.fromkeys(("image", "link"), ""),
    "no old price": dict.fromkeys(("old_price", "until", "subtitle", "role", "category", "company", "rating"), ""),
    "long title": {"": LONG},
    "short title": {"": "Hi"},
    "Arabic": {"": "مصباح قراءة أخضر من الزجاج بساق نحاسية"},
    "Japanese": {"": "真鍮の脚が付いたボトルグリーンのガラス製読書ランプ"},
    "five photos": {"photos": "\n".join(f"https://photos.example/{name}" for name in PHOTOS)},
}


def draw(starter: Starter, size: str, changes: dict[str, str]) -> Image.Image | None:
    """Return the image of a starter with changed values; None if it has none of the fields."""
    fields = {field.name for field in starter.document.fields}
    title = next(name for name in TITLES if name in fields)
    named = {name or title: value for name, value in changes.items()}
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
    return Image.fromarray(np.ascontiguousarray(pixels))


def resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return an image that fits a box, not enlarged."""
    scale = min(width / image.width, height / image.height, 1)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS)


def save(lines: list[list[Image.Image | None]], name: str, width: int | None = None) -> None:
    """Save lines of images as a sheet; with a `width`, in columns of this width."""
    heights = [max(image.height for image in line if image) for line in lines]
    sheet = Image.new("RGB", (SHEET_WIDTH, sum(heights) + GAP * (len(lines) + 1)), GROUND)
    top = GAP
    for line, height in zip(lines, heights, strict=True):
        left = GAP
        for image in line:
            if image:
                sheet.paste(image, (left, top))
            left += (width or (image.width if image else 0)) + GAP
        top += height + GAP
    sheet.save(FOLDER / name, quality=72, optimize=True)


def wrap(images: Iterator[Image.Image]) -> list[list[Image.Image | None]]:
    """Return images in lines that are not wider than a sheet."""
    lines: list[list[Image.Image | None]] = [[]]
    used = GAP
    for image in images:
        if lines[-1] and used + image.width + GAP > SHEET_WIDTH:
            lines.append([])
            used = GAP
        lines[-1].append(image)
        used += image.width + GAP
    return lines


def draw_sizes(starters: list[Starter]) -> Iterator[Image.Image]:
    """Yield all starters in all sizes with their default values."""
    for starter in starters:
        for size in starter.document.size_names:
            if image := draw(starter, size, {}):
                yield resize(image, 3 * HEIGHT, HEIGHT)


def main() -> None:
    starters = [open_starter(slug) for slug in list_starters()]
    save(wrap(draw_sizes(starters)), "starters.jpg")
    lines = []
    for starter in starters:
        images = [draw(starter, DEFAULT_SIZE, changes) for changes in ROWS.values()]
        lines.append([resize(image, WIDTH, 2 * WIDTH) if image else None for image in images])
    for number, first in enumerate(range(0, len(lines), LINES_PER_SHEET), start=1):
        save(lines[first : first + LINES_PER_SHEET], f"starters-rows-{number}.jpg", WIDTH)


if __name__ == "__main__":
    main()
