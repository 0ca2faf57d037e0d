"""Measure on-demand images through HTTP, beside the engine alone, in one run: `make bench`.

waitress runs in this process, as in `cwz serve`; wrk (the Debian package) sends requests on loopback, with one
connection and with eight, for the photo card of `cards.py`. Each image has different text; the "cached" requests repeat
one, and "unlogged" ones are not in the log of API requests. All measurements alternate, because a machine's load
changes from minute to minute; medians are shown.
With --peers, takumi behind Node's HTTP server renders the same card (`make bench-peers`).
"""

import atexit
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from cards import CARDS, SOURCES, row
from figures import save_figures
from pages import start_installation
from peers import takumi_server

from cwz_web.app import create_app
from cwz_web.generation.api_request_recorder import ApiRequestRecorder
from cwz_web.generation.template_cache import TemplateVersionState
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.logs import configure_logs
from cwz_web.server import create_server
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.uploads import Uploads
from cwz_web.web.services import Services

ENGINE_IMAGES = 150
SECONDS = 3
ROUNDS = 6
CONNECTIONS = 8
# Replaced in the request body by the number of the image.
NUMBER = 123456789


def publish_card(services: Services, demo_template: str) -> TemplateVersionState:
    """Publish the photo card in the demo workspace, with its photo and logo in the workspace's storage."""
    demo = services.template_cache.find_state(UUID(demo_template))
    assert demo is not None
    with services.database.transaction(demo.workspace_id) as db:
        bucket = services.providers.open(get_default_connection(db, demo.workspace_id).spec)
        text = json.dumps(CARDS["photo_card"].canonical())
        for name, source in SOURCES.items():
            bucket.put(upload_key(demo.workspace_id, source.digest), source.data, content_type="image/jpeg")
            text = text.replace(f'"source": "{name}"', f'"source": "upload:{source.digest}"')
        document = ImageTemplate.model_validate_json(text)
        card = create_template(db, demo.workspace_id, name="Photo card", document=document)
    state = services.template_cache.find_state(card.id)
    assert state is not None
    return state


def unused_number() -> int:
    """Return a number that no image has had."""
    return NUMBER + time.time_ns() // 10**6 % 10**8


def measure_engine(services: Services, card: TemplateVersionState) -> float:
    """Return the median time of the engine alone, in ms."""
    plan = services.template_cache.get_plan(card)
    uploads = Uploads(card.workspace_id, plan.connection_specs, services.providers.open)
    times, first = [], unused_number()
    for number in range(first, first + ENGINE_IMAGES):
        started = time.perf_counter()
        image = services.image_service.prepare(uploads, plan.design.document, row(number), Output())
        services.image_service.render(image)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


@dataclass(frozen=True)
class LoadRequest:
    """A request that wrk repeats; NUMBER in the body is replaced by a different number each time."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    @property
    def script(self) -> str:
        """The Lua script for wrk; it prints [median ms, 99th percentile ms, requests per second, errors] at the end."""
        headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items())
        return f"""
            wrk.method = "{self.method}"
            {headers}
            local number, body = {unused_number()}, [[{self.body}]]
            request = function()
                number = number + 1
                return wrk.format(nil, nil, nil, (body:gsub("{NUMBER}", tostring(number))))
            end
            done = function(summary, latency)
                local e, per_second = summary.errors, summary.requests / summary.duration * 1000000
                local errors = e.connect + e.read + e.write + e.status + e.timeout
                local median, p99 = latency:percentile(50) / 1000, latency:percentile(99) / 1000
                print(string.format("\\n[%f, %f, %f, %d]", median, p99, per_second, errors))
            end
        """


class LoadTest:
    """Alternating measurements with wrk.

    Args:
        folder: for wrk's script.
    """

    def __init__(self, folder: Path) -> None:
        self._script = folder / "wrk.lua"
        self._measured: dict[str, list[tuple[float, float, float]]] = {}
        self.figures: dict[str, float] = {}

    def run(self, name: str, port: int, request: LoadRequest, connections: int) -> None:
        """Send the request for some seconds."""
        self._script.write_text(request.script)
        url = f"http://127.0.0.1:{port}{request.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(self._script), url]
        *_, last = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        median, p99, per_second, errors = json.loads(last)
        assert errors == 0, f"{name}: {errors} responses were not images"
        self._measured.setdefault(name, []).append((median, p99, per_second))

    def report(self, name: str) -> tuple[float, float]:
        """Print the medians. Return the median latency in ms, and the requests per second."""
        median, p99, per_second = (
            statistics.median(measurement[part] for measurement in self._measured[name]) for part in range(3)
        )
        print(f"{name:20}{median:8.1f} ms, p99 {p99:.1f} ({p99 / median:.1f}x), {per_second:.0f} per second")
        self.figures[f"api_{name.replace(', ', '_').replace(' ', '_')}_ms"] = median
        return median, per_second


def serve(services: Services) -> int:
    """Serve the application in a thread, and return its port."""
    server = create_server(create_app(services), {}, listen="127.0.0.1:0", threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    return int(server.effective_port)


def main() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt install wrk")
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)
    services, demo = start_installation(folder)
    # The log is written as in production.
    with (folder / "log").open("w") as log:
        with redirect_stderr(log):
            configure_logs(development=False)
        with services.api_requests.running():
            measure(services, demo, LoadTest(folder), peers="--peers" in sys.argv)


def measure(services: Services, demo: dict[str, str], load_test: LoadTest, *, peers: bool) -> None:
    """Measure everything, print it and save the figures."""
    card = publish_card(services, demo["template"])
    host = {"Host": "localhost"}
    headers = {
        "Authorization": f"Bearer {demo['api_key']}",
        "Content-Type": "application/json",
        "Accept": "image/jpeg",
    }
    image = {"template": str(card.template_id), "data": row(NUMBER)}
    post = LoadRequest("POST", "/v1/images", headers | host, json.dumps(image))
    same = replace(post, body=post.body.replace(str(NUMBER), "0"))
    get = LoadRequest(
        "GET", services.signed_urls.on_demand_image(card.workspace_id, card.template_id, Format.JPEG, row(0)), host
    )
    port, engine_times = serve(services), []
    unlogged = serve(replace(services, api_requests=ApiRequestRecorder(services.database, is_enabled=False)))
    # Rendering two images at once starts the render processes.
    load_test.run("", port, post, 2)
    for _ in range(ROUNDS):
        engine_times.append(measure_engine(services, card))
        load_test.run("uncached, one", port, post, 1)
        engine_times.append(measure_engine(services, card))
        load_test.run(f"uncached, {CONNECTIONS}", port, post, CONNECTIONS)
        load_test.run("unlogged, one", unlogged, post, 1)
        load_test.run("cached POST, one", port, same, 1)
        load_test.run("cached GET, one", port, get, 1)
        load_test.run(f"cached GET, {CONNECTIONS}", port, get, CONNECTIONS)
    engine_ms = statistics.median(engine_times)
    print(f"{'engine alone':20}{engine_ms:8.1f} ms")
    (median, one), (_, many) = load_test.report("uncached, one"), load_test.report(f"uncached, {CONNECTIONS}")
    print(f"  {median / engine_ms:.2f}x the engine; {many / one:.2f}x the throughput of one connection")
    _, one_unlogged = load_test.report("unlogged, one")
    print(f"  {one / one_unlogged:.2f}x the throughput with the log of API requests")
    for name in ("cached POST, one", "cached GET, one", f"cached GET, {CONNECTIONS}"):
        load_test.report(name)
    if peers:
        with takumi_server() as takumi:
            load_test.run("takumi, one", takumi, post, 1)
            load_test.run(f"takumi, {CONNECTIONS}", takumi, post, CONNECTIONS)
        (_, takumi_one), (_, takumi_many) = load_test.report("takumi, one"), load_test.report(f"takumi, {CONNECTIONS}")
        print(f"  ours: {one / takumi_one:.1f}x and {many / takumi_many:.1f}x the throughput of takumi")
    save_figures(load_test.figures | {"api_engine_alone_ms": engine_ms})
    services.close()


if __name__ == "__main__":
    main()
