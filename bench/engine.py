"""The image engine beside its floor and Pillow, in one run: `make bench`; beside its peers too: `make bench-peers`.

The floor is libvips' bare encode of the same pixels. Medians; the peers are asked for the same card, with the same
photo, fonts and words, and whatever they keep between two images.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyvips
from cards import CARDS, OUTPUTS, PillowCard, image, load, plan_of, row
from figures import keep
from peers import chromium_times, node_times

from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.shapes import render_box, rounded_mask

ROUNDS = 80
ROUNDS_PEERS = 30
COLD_ROUNDS = 15


def bare_encode(pixels: Pixels, output: Output) -> bytes:
    """libvips alone, with the settings of ours."""
    image = pyvips.Image.new_from_memory(pixels.data, pixels.shape[1], pixels.shape[0], 3, "uchar")
    image = image.copy(interpretation="srgb")
    if output.format is Format.JPEG:
        jpeg: bytes = image.jpegsave_buffer(Q=output.quality, keep="none")
        return jpeg
    png: bytes = image.pngsave_buffer(compression=3, filter="sub", keep="none")
    return png


def median_ms(work: Callable[[int], object], rounds: int = ROUNDS) -> float:
    work(0)
    times = []
    for number in range(1, rounds + 1):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def per_second(work: Callable[[int], object], threads: int, images: int = 600) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(1000, 1000 + images)))
        return images / (time.perf_counter() - began)


def cold_ms(output: Output) -> float:
    """The first image of a template in a process that has rendered others: nothing of this one is kept."""

    def first(number: int) -> bytes:
        for remembered in (render_box, rounded_mask):
            remembered.cache.clear()  # type: ignore[attr-defined]
        return image(plan_of("photo_card", Engine()), number, output)

    return median_ms(first, COLD_ROUNDS)


def measure(card: str, name: str, output: Output, plan: Plan) -> dict[str, float]:
    """Ours, the floor, and Pillow: milliseconds by name."""
    values = plan.values(row(1))
    pixels = plan.compose(values, plan.load(values, load))[..., :3].copy()
    pillow = PillowCard(card)
    rounds = ROUNDS if name == "jpeg" else ROUNDS // 2
    return {
        f"engine_{card}_{name}_ms": median_ms(lambda number: image(plan, number, output), rounds),
        f"floor_{card}_{name}_ms": median_ms(lambda number: bare_encode(pixels, output), rounds),
        f"pillow_{card}_{name}_ms": median_ms(lambda number: pillow.image(number, output), rounds),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peers", action="store_true", help="measure the peers as well")
    results: dict[str, float] = {}
    plans = {card: plan_of(card) for card in CARDS}
    for card, plan in plans.items():
        for name, output in OUTPUTS.items():
            results |= measure(card, name, output, plan)
    jpeg = OUTPUTS["jpeg"]
    results["engine_photo_card_cold_ms"] = cold_ms(jpeg)
    cores = len(os.sched_getaffinity(0))
    for threads, name in ((1, "one_thread_"), (2, "two_threads_"), (cores, "")):
        rate = per_second(lambda number: image(plans["photo_card"], number, jpeg), threads)
        results[f"engine_photo_card_{name}images_per_s"] = rate
    if arguments.parse_args().peers:
        results |= node_times(ROUNDS_PEERS)
        results |= chromium_times(ROUNDS_PEERS)
    keep(results)
    report(results, cores)


def report(results: dict[str, float], cores: int) -> None:
    """Print the table: ms, of the floor, and how many times as fast ours is."""
    node = shutil.which("node") or "none"
    print(f"{cores} cores, Python {platform.python_version()} on {sys.platform}, libvips {pyvips.version(0)}."
          f"{pyvips.version(1)}, node: {'yes' if node != 'none' else 'no'}")  # fmt: skip
    print(f"{'card of 1200 x 630':24}{'by':12}{'ms':>9}{'of the floor':>14}{'ours is':>12}")
    for card in CARDS:
        for name in OUTPUTS:
            ours, floor = (results[f"{who}_{card}_{name}_ms"] for who in ("engine", "floor"))
            for who in ("engine", "floor", "pillow", "takumi", "satori", "chromium"):
                took = results.get(f"{who}_{card}_{name}_ms")
                if took is not None:
                    print(f"{card + ', ' + name:24}{who:12}{took:9.1f}{took / floor:13.1f}x{took / ours:11.1f}x")
    cold, floor = results["engine_photo_card_cold_ms"], results["floor_photo_card_jpeg_ms"]
    print(f"{'first of a template':24}{'engine':12}{cold:9.1f}{cold / floor:13.1f}x")
    one, two = (results[f"engine_photo_card_{n}images_per_s"] for n in ("one_thread_", "two_threads_"))
    print(f"engine: {one:.0f} photo cards/s on one thread, {two:.0f} on two ({two / one:.2f}x)")


if __name__ == "__main__":
    main()
