"""Benchmark of the editor in Chromium: load, frames while dragging among 60 layers, and from an edit to the exact tile.

The application runs in this process. Script time is what the browser's tracing counts as the main thread's work for a
frame of a drag, without the wait for the next frame.
"""

import atexit
import logging
import shutil
import statistics
import tempfile
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from figures import save_figures
from pages import start_installation
from playwright.sync_api import Page, sync_playwright

from cwz_web.app import create_app
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.server import create_server
from cwz_web.web.services import Services

ROOT = Path(__file__).parent.parent
LAYERS = 60
FRAMES = 120
EDITS = 30
LOADS = 5

READY = "() => Boolean(document.getElementById('editor')?.editor?.session.state)"
# Drags a layer frame by frame, and measures the script of each one, with its painting of the canvases.
DRAG = """async ([name, frames]) => {
    const { stage, snapper } = document.getElementById("editor").editor;
    const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const times = [];
    for (let frame = 0; frame < frames; frame++) {
        await next();
        const started = performance.now();
        const event = new PointerEvent("pointermove");
        stage.previewMove([name], snapper.snapMove([name], { x: frame % 97, y: frame % 53 }, event));
        stage.image.draw();
        stage.overlay.draw();
        times.push(performance.now() - started);
    }
    stage.cancelPreview();
    snapper.clear();
    return times;
}"""
# Edits a text, and measures the time until the new tile is on the canvas.
EDIT = """async ([name, edits]) => {
    const { editor } = document.getElementById("editor");
    const times = [];
    for (let number = 0; number < edits; number++) {
        const started = performance.now();
        const shown = new Promise((resolve) => editor.stage.addEventListener("shown", resolve, { once: true }));
        editor.edit(`text ${number}`, (copy) => {
            copy.layers.find((layer) => layer.name === name).text = `Text ${number}`;
        });
        await shown;
        editor.stage.image.draw();
        times.push(performance.now() - started);
        await new Promise((resolve) => editor.session.addEventListener("findings", resolve, { once: true }));
    }
    return times;
}"""


def make_document() -> ImageTemplate:
    """Return a template of 1080 x 1080 with 60 layers: texts, shapes with shadows, and some that blend or rotate."""
    layers: list[dict[str, Any]] = []
    for number in range(LAYERS):
        box = {"name": f"Layer {number}", "x": number % 8 * 130 + 20, "y": number // 8 * 130 + 20}
        if number % 2:
            layers.append(box | {"type": "text", "width": 120, "height": 60, "size": 30, "text": f"Text {number}"})
        else:
            shape = {"type": "shape", "width": 110, "height": 90, "fill": f"#{number * 4:02x}80c0", "radius": 12}
            extra = {"shadow": {}} if number % 4 else {"blend": "multiply", "opacity": 0.8}
            layers.append(box | shape | extra | ({"rotation": 15} if number % 6 == 0 else {}))
    canvas = {"width": 1080, "height": 1080, "background": "#f4f0e8"}
    return ImageTemplate.model_validate({"version": 3, "canvas": canvas, "layers": layers})


def publish(services: Services, demo_template: str) -> str:
    """Publish the template in the demo workspace, and return the path of its editor."""
    demo = services.template_cache.find_state(UUID(demo_template))
    assert demo is not None
    with services.database.transaction(demo.workspace_id) as db:
        template = create_template(db, demo.workspace_id, name="Sixty layers", document=make_document())
        return f"/w/demo/templates/{template.id}/editor"


def wait_until_ready(page: Page) -> None:
    """Wait for the tiles. The page's Content-Security-Policy refuses Playwright's own polling."""
    while not page.evaluate(READY):
        page.wait_for_timeout(5)


def measure(page: Page, path: str) -> dict[str, float]:
    """Return the figures in milliseconds by name."""
    loads = []
    for _ in range(LOADS):
        page.goto(path)
        wait_until_ready(page)
        loads.append(page.evaluate("() => performance.now()"))
    frames = page.evaluate(DRAG, ["Layer 30", FRAMES])
    edits = page.evaluate(EDIT, ["Layer 31", EDITS])
    return {
        "editor_load_ms": statistics.median(loads),
        "editor_drag_frame_p95_ms": statistics.quantiles(frames, n=20)[-1],
        "editor_edit_to_tile_ms": statistics.median(edits),
    }


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)
    services, demo = start_installation(folder)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server = create_server(create_app(services), {}, listen="127.0.0.1:0", threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    # The installation answers to its own host only.
    host = f"--host-resolver-rules=MAP localhost 127.0.0.1:{server.effective_port}"
    path = publish(services, demo["template"])
    chromium = ROOT / ".venv" / ".chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.read_text().strip() if chromium.exists() else None,
            args=["--no-sandbox", "--disable-gpu", host],
        )
        page = browser.new_context(base_url="http://localhost", viewport={"width": 1440, "height": 900}).new_page()
        page.goto("/signin")
        page.get_by_label("Email", exact=True).fill(demo["email"])
        page.get_by_label("Password", exact=True).fill(demo["password"])
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url("**/w/**")
        figures = measure(page, path)
        browser.close()
    for name, value in figures.items():
        print(f"{name:28} {value:8.1f}")
    save_figures({name: round(value, 2) for name, value in figures.items()})
    services.close()


if __name__ == "__main__":
    main()
