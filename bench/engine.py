"""The image engine on the photo card, beside its floor and Pillow, in one run: `make bench`.

The photo card (1200 x 630): a JPEG photo of 2000 x 1300 as background, a gradient, a round logo, a badge, three texts
that change with every picture. The floor is libvips' bare JPEG encode of the same pixels, same settings. Medians.
"""

import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cwz_web.imaging.fonts import install_fonts

ROOT = Path(__file__).parent.parent
install_fonts(ROOT / "node_modules", Path(tempfile.gettempdir()) / "cwz-bench-fonts")

import pyvips  # noqa: E402 - fontconfig reads its settings once
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from cwz_web.imaging.documents import ImageTemplate  # noqa: E402
from cwz_web.imaging.encoders import Output, encode  # noqa: E402
from cwz_web.imaging.engine import Engine, Plan  # noqa: E402
from cwz_web.imaging.pictures import Source  # noqa: E402

ROUNDS = 80
WIDTH, HEIGHT = 1200, 630
INTER = ROOT / "node_modules/@expo-google-fonts/inter"


def photo_like(width: int, height: int, seed: int = 1) -> bytes:
    """A JPEG with the smooth areas and the grain of a photo."""
    bands = [pyvips.Image.perlin(width, height, cell_size=size, seed=seed + size) for size in (256, 190, 310)]
    smooth = bands[0].bandjoin(bands[1:]) * 100 + 128
    grainy = smooth + pyvips.Image.gaussnoise(width, height, mean=0, sigma=6, seed=seed)
    data: bytes = grainy.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=90)
    return data


PHOTO, LOGO = photo_like(2000, 1300), photo_like(400, 400, seed=9)
CARD = ImageTemplate.model_validate(
    {
        "canvas": {"width": WIDTH, "height": HEIGHT, "background": "#101020"},
        "columns": [{"name": name, "label": name} for name in ("title", "subtitle", "price")],
        "layers": [
            {"type": "image", "name": "photo", "source": "photo", "x": 0, "y": 0, "width": WIDTH, "height": HEIGHT},
            {
                "type": "shape",
                "name": "shade",
                "x": 0,
                "y": 0,
                "width": WIDTH,
                "height": HEIGHT,
                "fill": {"start": "#00000000", "end": "#000000cc", "angle": 90},
            },
            {
                "type": "image",
                "name": "logo",
                "source": "logo",
                "x": 60,
                "y": 50,
                "width": 96,
                "height": 96,
                "radius": 48,
            },
            {
                "type": "shape",
                "name": "badge",
                "x": 900,
                "y": 60,
                "width": 240,
                "height": 90,
                "fill": "#ff3355",
                "radius": 45,
            },
            {
                "type": "text",
                "name": "title",
                "text": "{{ title }}",
                "x": 60,
                "y": 300,
                "width": 1000,
                "height": 170,
                "size": 68,
                "weight": 800,
                "colour": "#ffffff",
                "max_lines": 2,
            },
            {
                "type": "text",
                "name": "subtitle",
                "text": "{{ subtitle }}",
                "x": 60,
                "y": 500,
                "width": 1000,
                "height": 50,
                "size": 32,
                "colour": "#ffffff",
            },
            {
                "type": "text",
                "name": "price",
                "text": "{{ price }}",
                "x": 900,
                "y": 60,
                "width": 240,
                "height": 90,
                "size": 40,
                "weight": 700,
                "colour": "#ffffff",
                "align": "centre",
                "valign": "middle",
            },
        ],
    }
)
OUTPUT = Output()
SOURCES = {"photo": Source.of(PHOTO), "logo": Source.of(LOGO)}


def row(number: int) -> dict[str, str]:
    return {
        "title": f"Summer sale {number}: all for long days outside",
        "subtitle": f"Only this week, number {number}, in every shop and online",
        "price": f"€ {number}.90",
    }


def load(reference: str) -> Source:
    """As generation.sources does for a picture that it keeps."""
    return SOURCES[reference]


def picture(plan: Plan, number: int) -> bytes:
    """The real path: values, sources, drawing, encoding, digest."""
    values = plan.values(row(number))
    return plan.render(values, plan.load(values, load), OUTPUT).data


class PillowCard:
    """The same card, drawn plainly with Pillow, with its static layers composed once as well."""

    def __init__(self) -> None:
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
        self.base = base.convert("RGB")
        self.fonts = {
            size: ImageFont.truetype(str(INTER / weight / f"Inter_{weight}.ttf"), size)
            for size, weight in ((68, "800ExtraBold"), (32, "400Regular"), (40, "700Bold"))
        }

    def picture(self, number: int) -> bytes:
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
        canvas.save(out, "JPEG", quality=OUTPUT.quality)
        return out.getvalue()


def median_ms(work: Callable[[int], object]) -> float:
    work(0)
    times = []
    for number in range(1, ROUNDS + 1):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def per_second(work: Callable[[int], object], threads: int, pictures: int = 400) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(1000, 1000 + pictures)))
        return pictures / (time.perf_counter() - began)


def main() -> None:
    cold_began = time.perf_counter()
    plan = Engine().plan(CARD)
    picture(plan, 0)
    cold = (time.perf_counter() - cold_began) * 1000
    values = plan.values(row(1))
    pixels = plan.draw(values, plan.load(values, load))
    pillow = PillowCard()
    cores = len(os.sched_getaffinity(0))
    results = {
        "engine_photo_card_jpeg_ms": median_ms(lambda number: picture(plan, number)),
        "floor_photo_card_jpeg_ms": median_ms(lambda number: encode(pixels, OUTPUT)),
        "pillow_photo_card_jpeg_ms": median_ms(pillow.picture),
        "engine_photo_card_cold_ms": cold,
        "engine_photo_card_one_thread_images_per_s": per_second(lambda number: picture(plan, number), 1),
        "engine_photo_card_images_per_s": per_second(lambda number: picture(plan, number), cores),
    }
    (ROOT / "bench" / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    ours, floor = results["engine_photo_card_jpeg_ms"], results["floor_photo_card_jpeg_ms"]
    print(f"Photo card, 1200 x 630, JPEG, {cores} cores, Python {platform.python_version()} on {sys.platform}")
    print(f"{'':28}{'ms a picture':>14}{'of the floor':>14}")
    for name in ("engine", "floor", "pillow"):
        took = results[f"{name}_photo_card_jpeg_ms"]
        print(f"{name:28}{took:14.1f}{took / floor:13.1f}x")
    print(f"{'engine, first picture':28}{cold:14.1f}{cold / floor:13.1f}x")
    one, all_cores = results["engine_photo_card_one_thread_images_per_s"], results["engine_photo_card_images_per_s"]
    print(f"engine: {one:.0f} pictures/s on one thread, {all_cores:.0f} on {cores} ({all_cores / one:.2f}x)")
    print(f"engine: {results['pillow_photo_card_jpeg_ms'] / ours:.1f}x as fast as Pillow")


if __name__ == "__main__":
    main()
