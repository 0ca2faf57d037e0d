"""Render 2,000 mixed images in each of eight threads (`make soak`): no crash, and no growth of memory.

The images are all starters in all sizes and file formats, with long words, many scripts, emoji, HTML and empty values,
and with photos that are valid, damaged or missing.
"""

import itertools
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from cards import LOGO, PHOTO
from figures import save_figures

from cwz_web.demo.starters import list_starters, open_starter
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import ImagingError, SourceMissingError

THREADS, IMAGES = 8, 2000
WARM_UP = THREADS * IMAGES // 4
MAX_GROWTH = 1.3
TEXTS = [
    "Summer sale: all for long days outside",
    "Donaudampfschifffahrtsgesellschaftskapitän",
    "العرض الخاص 50٪ خصم على 123 منتجًا",
    "日本語の長い文章は単語の間に空白がない",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ party",
    "สวัสดีครับ ภาษาไทย",
    "<b>bold</b> &amp; <script>alert(1)</script>",
    "",
    "𓀀\ue123\u0301\u200d",
    "x" * 1500,
]
IMAGE_BYTES = [PHOTO, LOGO, PHOTO[:40_000], b"", b"\x89PNG\r\n\x1a\n broken", b"<svg/>"]


def memory_mb() -> int:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024**2


def main() -> None:
    engine = Engine(cache_bytes=144 * 1024 * 1024)
    starters = [open_starter(slug) for slug in list_starters()]
    sources = [Source.of(data) for data in IMAGE_BYTES]
    done, failed, lock = itertools.count(1), itertools.count(), threading.Lock()
    curve: list[tuple[int, int]] = []
    started = time.monotonic()

    def load(random: Random) -> Source:
        source = random.choice([*sources, None])
        if source is None:
            raise SourceMissingError("the image is missing")
        return source

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(IMAGES):
            document = random.choice(starters).document
            size = random.choice([DEFAULT_SIZE, *(size.name for size in document.sizes)])
            weights = [60, 25, 12, 3]
            [format] = random.choices([Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF], weights)
            try:
                plan = engine.plan(document, size)
                values = plan.fill_values(
                    {field.name: random.choice(TEXTS) for field in document.fields if random.random() < 0.7}
                )
                loaded = plan.load_sources(values, lambda reference: load(random))
                plan.render(values, loaded, Output(format=format))
            except ImagingError:
                next(failed)
            number = next(done)
            if number % 500 == 0:
                with lock:
                    curve.append((number, memory_mb()))
                    print(f"{number:6} images {curve[-1][1]:6} MB {number / (time.monotonic() - started):6.0f}/s")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    after_warm_up = [megabytes for number, megabytes in curve if number > WARM_UP]
    growth = after_warm_up[-1] / after_warm_up[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{THREADS * IMAGES} images, {next(failed)} rejected with a message")
    print(f"memory {after_warm_up[0]} -> {after_warm_up[-1]} MB")
    print(f"growth after warm-up: {growth:.2f}x; peak: {peak} MB")
    figures = {"soak_growth": growth, "soak_peak_mb": peak, "soak_end_mb": after_warm_up[-1]}
    save_figures(figures)
    sys.exit(growth > MAX_GROWTH)


if __name__ == "__main__":
    main()
