"""The peers of the image engine: takumi and satori with resvg in Node.js, and screenshots of headless Chromium."""

import base64
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

from cards import CARDS, FONTS, HEIGHT, LOGO, OUTPUTS, PHOTO, ROOT, TRIMMED_PRODUCT, WIDTH, catalog, row
from playwright.sync_api import sync_playwright

PEERS = ROOT / "bench" / "peers"
SET_PARTS = "row => { for (const key in row) document.getElementById(key).innerHTML = row[key] }"


@contextmanager
def job(**more: Any) -> Iterator[str]:
    """Yield the input of the Node.js programs as JSON. The files that it names exist within the context."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{name}.jpg") for name in ("photo", "logo", "product")}
        for path, content in zip(files.values(), (PHOTO, LOGO, TRIMMED_PRODUCT), strict=True):
            path.write_bytes(content)
        yield json.dumps(
            {
                "width": WIDTH,
                "height": HEIGHT,
                "quality": OUTPUTS["jpeg"].quality,
                "fonts": {weight: str(path) for weight, path in FONTS.items()},
                **{name: str(path) for name, path in files.items()},
                **more,
            }
        )


def node_times(rounds: int) -> dict[str, float]:
    """Return the medians of takumi and of satori with resvg in milliseconds, by name."""
    numbers = range(rounds + 1)
    pages = [catalog.to_html(catalog.row(number), "product") for number in numbers]
    with job(rounds=rounds, rows=[row(number) for number in numbers], pages=pages, side=catalog.SIDE) as payload:
        process = subprocess.run(
            ["node", str(PEERS / "render.mjs")], input=payload, capture_output=True, text=True, check=True
        )
    times: dict[str, float] = json.loads(process.stdout)
    return times


@contextmanager
def takumi_server() -> Iterator[int]:
    """Start an HTTP server in Node.js that renders the photo card with takumi; yield its port."""
    with (
        job() as payload,
        subprocess.Popen(["node", str(PEERS / "serve.mjs")], stdin=PIPE, stdout=PIPE, text=True) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{payload}\n")
        server.stdin.flush()
        yield int(server.stdout.readline())
        server.kill()


def chromium_times(rounds: int) -> dict[str, float]:
    """Return the medians of changing the texts of an open page and taking a screenshot, in milliseconds by name."""
    results = {}
    path_file = ROOT / ".venv" / ".chromium"
    path = path_file.read_text() if path_file.exists() else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu"],
        )
        for card, template in CARDS.items():
            canvas = template.canvas
            page = browser.new_page(viewport={"width": canvas.width, "height": canvas.height})
            page.set_content(_html(card))
            page.evaluate("document.fonts.ready")
            for name, output in OUTPUTS.items():
                times = []
                for number in range(rounds + 1):
                    started = time.perf_counter()
                    page.evaluate(SET_PARTS, _parts(card, number))
                    options = {"type": "jpeg", "quality": output.quality} if name == "jpeg" else {"type": "png"}
                    page.screenshot(**options)  # type: ignore[arg-type]
                    times.append(time.perf_counter() - started)
                results[f"chromium_{card}_{name}_ms"] = statistics.median(times[1:]) * 1000
            page.close()
        browser.close()
    return results


def _parts(card: str, number: int) -> dict[str, str]:
    """Return what a row changes in the page of a card: HTML by the id of its element."""
    values = row(number, card)
    return catalog.to_parts(values) if card == "catalog_card" else values


def _data_url(content_type: str, content: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def _html(card: str) -> str:
    fonts = {weight: _data_url("font/ttf", path.read_bytes()) for weight, path in FONTS.items()}
    faces = "".join(
        f"@font-face {{ font-family: Inter; font-weight: {weight}; src: url({url}) }}" for weight, url in fonts.items()
    )
    if card == "catalog_card":
        product = _data_url("image/jpeg", TRIMMED_PRODUCT)
        return f"<style>{faces} body {{ margin: 0 }}</style>{catalog.to_html(catalog.row(0), product)}"
    photo, logo = (_data_url("image/jpeg", content) for content in (PHOTO, LOGO))
    images = (
        f'<img src="{photo}" style="width:{WIDTH}px;height:{HEIGHT}px;object-fit:cover">'
        f'<div style="width:{WIDTH}px;height:{HEIGHT}px;background:linear-gradient(transparent,#000000cc)"></div>'
        f'<img src="{logo}" style="left:60px;top:50px;width:96px;height:96px;border-radius:48px">'
        '<div style="left:900px;top:60px;width:240px;height:90px;border-radius:45px;background:#ff3355"></div>'
    )
    return f"""<style>{faces} body {{ margin: 0; background: #101020; color: #fff; font-family: Inter }}
        body > * {{ position: absolute; left: 0; top: 0 }}</style>
        {images if card == "photo_card" else ""}
        <div id="title" style="left:60px;top:300px;width:1000px;font:800 68px/1.2 Inter"></div>
        <div id="subtitle" style="left:60px;top:500px;width:1000px;font:400 32px/1.2 Inter"></div>
        <div id="price" style="left:900px;top:60px;width:240px;font:700 40px/90px Inter;text-align:center"></div>"""
