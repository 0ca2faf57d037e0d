"""Compare the image engine with its floor and with Pillow (`make bench`), and with its peers (`make bench-peers`).

The floor is the time that libvips needs to encode the same pixels. All figures are medians. Renderers take turns, since
the load of a machine changes from minute to minute: compare figures of one card only. The peers render the same card
with the same photo, fonts and texts, and can cache what they like between two images; of the catalog card's photo, they
get the part that a trimmed photo shows.
"""

import argparse
import itertools
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyvips
from cards import CARDS, OUTPUTS, PLAIN_CARDS, PillowCard, load_source, plan_card, render_card, row
from figures import save_figures
from peers import chromium_times, node_times

from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, Plan

ROUNDS, TURNS = 80, 20
ROUNDS_PEERS, TURNS_PEERS = 10, 3
COLD_ROUNDS, PREVIEW_ROUNDS, ONE_FIELD_ROUNDS = 15, 20, 1000
_numbers = itertools.count(1)


def bare_encode(pixels: Pixels, output: Output) -> bytes:
    """Encode pixels with libvips only, with the same settings as the engine."""
    image = pyvips.Image.new_from_memory(pixels.data, pixels.shape[1], pixels.shape[0], 3, "uchar")
    image = image.copy(interpretation="srgb")
    if output.format is Format.JPEG:
        jpeg: bytes = image.jpegsave_buffer(Q=output.quality, keep="none")
        return jpeg
    png: bytes = image.pngsave_buffer(compression=3, filter="sub", keep="none")
    return png


def times_ms(work: Callable[[int], object], rounds: int) -> list[float]:
    """Return the durations of calls in milliseconds, after one call to warm up. Each one has a number of its own."""
    work(0)
    times = []
    for number in itertools.islice(_numbers, rounds):
        started = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - started) * 1000)
    return times


def medians_ms(works: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Return the median durations of calls that take turns, in milliseconds by name."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(TURNS):
        for name, work in works.items():
            times[name] += times_ms(work, rounds // TURNS)
    return {name: statistics.median(each) for name, each in times.items()}


def images_per_second(work: Callable[[int], object], threads: int, images: int = 600) -> float:
    """Return the throughput of several threads."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(work, list(itertools.islice(_numbers, images))))
        return images / (time.perf_counter() - started)


def cold_ms(output: Output) -> float:
    """Return the median duration of a template's first image, with empty caches."""
    times = times_ms(lambda number: render_card(plan_card("photo_card", Engine()), number, output), COLD_ROUNDS)
    return statistics.median(times)


def preview_ms(card: str, output: Output, key: str) -> float:
    """Return the median duration of a preview after an edit of one key of a text, its font size or its color."""
    engine, documents = Engine(), []
    for number in range(PREVIEW_ROUNDS):
        document = CARDS[card].canonical()
        for layer in [each for top in document["layers"] for each in (top, *top.get("layers", []))]:
            if layer["name"].lower() == "title":
                layer[key] = 40 + number if key == "size" else f"#0000{number:02x}"
        documents.append(ImageTemplate.model_validate(document))
    edits = iter([documents[0], *documents])
    times = times_ms(lambda _: render_card(engine.plan(next(edits)), 0, output, card), PREVIEW_ROUNDS)
    return statistics.median(times[1:])


def one_field_ms(card: str, plan: Plan, output: Output) -> float:
    """Return the median duration of the images of rows that differ in the price only."""
    field = "euros" if card == "catalog_card" else "price"

    def render(number: int) -> bytes:
        values = plan.fill_values(row(0, card) | {field: str(number)})
        return plan.render(values, plan.load_sources(values, load_source), output).data

    return statistics.median(times_ms(render, ONE_FIELD_ROUNDS))


def measure(card: str, name: str, output: Output, plan: Plan) -> dict[str, float]:
    """Return the medians of the engine, the floor and Pillow in milliseconds, by name."""
    values = plan.fill_values(row(1, card))
    pixels = plan.compose(values, plan.load_sources(values, load_source)).pixels[..., :3].copy()
    works: dict[str, Callable[[int], object]] = {
        f"engine_{card}_{name}_ms": lambda number: render_card(plan, number, output, card),
        f"floor_{card}_{name}_ms": lambda _: bare_encode(pixels, output),
    }
    if card in PLAIN_CARDS:
        pillow = PillowCard(card)
        works[f"pillow_{card}_{name}_ms"] = lambda number: pillow.render(number, output)
    return medians_ms(works, ROUNDS if name == "jpeg" else ROUNDS // 2)


def measure_cards(plans: Mapping[str, Plan]) -> dict[str, float]:
    """Return the medians of all cards and formats."""
    results: dict[str, float] = {}
    for card, plan in plans.items():
        for name, output in OUTPUTS.items():
            results |= measure(card, name, output, plan)
    return results


def measure_with_peers(plans: Mapping[str, Plan]) -> dict[str, float]:
    """Return the medians of the engine and its peers, which take turns."""
    turns = [measure_cards(plans) | node_times(ROUNDS_PEERS) | chromium_times(ROUNDS_PEERS) for _ in range(TURNS_PEERS)]
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peers", action="store_true", help="also measure the peers")
    plans = {card: plan_card(card) for card in CARDS}
    results = measure_with_peers(plans) if arguments.parse_args().peers else measure_cards(plans)
    jpeg = OUTPUTS["jpeg"]
    results["engine_photo_card_cold_ms"] = cold_ms(jpeg)
    for card in ("photo_card", "catalog_card"):
        results |= {f"engine_{card}_{key}_preview_ms": preview_ms(card, jpeg, key) for key in ("size", "color")}
        results[f"engine_{card}_one_field_ms"] = one_field_ms(card, plans[card], jpeg)
    cores = len(os.sched_getaffinity(0))
    for threads, name in ((1, "one_thread_"), (2, "two_threads_"), (cores, "")):
        rate = images_per_second(lambda number: render_card(plans["photo_card"], number, jpeg), threads)
        results[f"engine_photo_card_{name}images_per_s"] = rate
    save_figures(results)
    report(results, cores)


def report(results: dict[str, float], cores: int) -> None:
    """Print a table: milliseconds, multiples of the floor and of the engine."""
    node = shutil.which("node") or "none"
    print(f"{cores} cores, Python {platform.python_version()} on {sys.platform}, libvips {pyvips.version(0)}."
          f"{pyvips.version(1)}, node: {'yes' if node != 'none' else 'no'}")  # fmt: skip
    print(f"{'card':24}{'renderer':12}{'ms':>9}{'x floor':>14}{'x engine':>12}")
    for card in CARDS:
        for name in OUTPUTS:
            engine, floor = (results[f"{renderer}_{card}_{name}_ms"] for renderer in ("engine", "floor"))
            for renderer in ("engine", "floor", "pillow", "takumi", "satori", "chromium"):
                ms = results.get(f"{renderer}_{card}_{name}_ms")
                if ms is not None:
                    print(f"{card + ', ' + name:24}{renderer:12}{ms:9.1f}{ms / floor:13.1f}x{ms / engine:11.1f}x")
    cold, floor = results["engine_photo_card_cold_ms"], results["floor_photo_card_jpeg_ms"]
    print(f"{'photo_card, empty cache':24}{'engine':12}{cold:9.1f}{cold / floor:13.1f}x")
    for card in ("photo_card", "catalog_card"):
        size, color, price = (results[f"engine_{card}_{n}_ms"] for n in ("size_preview", "color_preview", "one_field"))
        print(f"{card}: preview after an edit of a font size {size:.1f} ms, of a color {color:.1f} ms; "
              f"rows that differ in the price {price:.1f} ms")  # fmt: skip
    one, two = (results[f"engine_photo_card_{name}images_per_s"] for name in ("one_thread_", "two_threads_"))
    print(f"engine: {one:.0f} photo cards/s with one thread, {two:.0f} with two ({two / one:.2f}x)")


if __name__ == "__main__":
    main()
