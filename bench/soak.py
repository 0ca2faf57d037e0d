"""Eight threads render 2,000 mixed images each: `make soak`. Nothing may crash, and the memory must stay flat.

Every starter in each of its formats, in every file format, with rows of long words, many scripts, emoji, HTML, nothing
at all, and with images that are fine, damaged, missing, or bombs.
"""

import itertools
import os
import random
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cards import LOGO, PHOTO
from figures import keep

from cwz_web.demo.starters import NAMES, open_starter
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import ImagingError, SourceMissingError

THREADS, IMAGES = 8, 2000
WARM = THREADS * IMAGES // 4
WORDS = [
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
    """What the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024**2


def main() -> None:
    engine = Engine(memory=48 * 1024 * 1024)
    starters = [open_starter(slug) for slug in NAMES]
    sources = [Source.of(data) for data in IMAGE_BYTES]
    done, failed, lock = itertools.count(1), itertools.count(), threading.Lock()
    curve: list[tuple[int, int]] = []
    began = time.monotonic()

    def load(chance: random.Random) -> Source:
        source = chance.choice([*sources, None])
        if source is None:
            raise SourceMissingError("it is not there")
        return source

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(IMAGES):
            document = chance.choice(starters).document
            size = chance.choice([DEFAULT_SIZE, *(size.name for size in document.sizes)])
            weights = [60, 25, 12, 3]
            [format] = chance.choices([Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF], weights)
            try:
                plan = engine.plan(document, size)
                values = plan.values({c.name: chance.choice(WORDS) for c in document.fields if chance.random() < 0.7})
                found = plan.load(values, lambda reference: load(chance))
                plan.render(values, found, Output(format=format))
            except ImagingError:
                next(failed)
            number = next(done)
            if number % 500 == 0:
                with lock:
                    curve.append((number, memory_mb()))
                    print(f"{number:6} images {curve[-1][1]:6} MB {number / (time.monotonic() - began):6.0f}/s")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    after_warming = [megabytes for number, megabytes in curve if number > WARM]
    growth = after_warming[-1] / after_warming[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{THREADS * IMAGES} images, {next(failed)} refused in words")
    print(f"memory {after_warming[0]} -> {after_warming[-1]} MB")
    print(f"after warming it grew {growth:.2f} times; the peak was {peak} MB")
    figures = {"soak_growth": growth, "soak_peak_mb": peak, "soak_end_mb": after_warming[-1]}
    keep(figures)
    sys.exit(growth > 1.3)


if __name__ == "__main__":
    main()
