"""The real-time API through its whole HTTP path, beside the engine alone, in one run: `make bench`.

waitress in this process, as `cwz serve` runs it, and wrk (Debian's package of that name) on loopback, with one
connection and with eight. The photo card of `cards.py`; each image has words of its own; "cached" asks for one and
the same. All take turns, for what else happens on a machine is another thing a minute later; the medians of the turns
are told. With --peers, takumi behind Node's HTTP server is asked for the same card (`make bench-peers`).
"""

import atexit
import gc
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
# Stands for the number of an image in what is asked.
NUMBER = 123456789


def publish_card(services: Services, demo_template: str) -> TemplateVersionState:
    """The photo card in the demo's workspace, its photo and its logo in the workspace's storage."""
    demo = services.template_cache.state(UUID(demo_template))
    assert demo is not None
    with services.database.transaction(demo.workspace_id) as db:
        bucket = services.providers.open(get_default_connection(db, demo.workspace_id).place)
        written = json.dumps(CARDS["photo_card"].canonical())
        for name, source in SOURCES.items():
            bucket.put(upload_key(demo.workspace_id, source.digest), source.data, content_type="image/jpeg")
            written = written.replace(f'"source": "{name}"', f'"source": "upload:{source.digest}"')
        document = ImageTemplate.model_validate_json(written)
        card = create_template(db, demo.workspace_id, name="Photo card", document=document)
    state = services.template_cache.state(card.id)
    assert state is not None
    return state


def fresh() -> int:
    """A number that no image had before."""
    return NUMBER + time.time_ns() // 10**6 % 10**8


def engine(services: Services, card: TemplateVersionState) -> float:
    """The ms of an image that the engine renders alone: the median of some."""
    template_plan = services.template_cache.of(card)
    places = [connection.spec for connection in template_plan.connections]
    uploads = Uploads(card.workspace_id, places, services.providers.open)
    times, first = [], fresh()
    for number in range(first, first + ENGINE_IMAGES):
        begun = time.perf_counter()
        order = services.image_service.order(uploads, template_plan.design.document, row(number), Output())
        services.image_service.finish(order)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


@dataclass(frozen=True)
class Question:
    """What is asked again and again; NUMBER in the body becomes each one's own."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    @property
    def script(self) -> str:
        """What wrk is told, in Lua: what to send, and to write the median and the 99th percentile in ms, how many a
        second, and how many were none, as its last line."""
        headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items())
        return f"""
            wrk.method = "{self.method}"
            {headers}
            local number, body = {fresh()}, [[{self.body}]]
            request = function()
                number = number + 1
                return wrk.format(nil, nil, nil, (body:gsub("{NUMBER}", tostring(number))))
            end
            done = function(summary, latency)
                local e, a_second = summary.errors, summary.requests / summary.duration * 1000000
                local wrong = e.connect + e.read + e.write + e.status + e.timeout
                local median, p99 = latency:percentile(50) / 1000, latency:percentile(99) / 1000
                print(string.format("\\n[%f, %f, %f, %d]", median, p99, a_second, wrong))
            end
        """


class Turns:
    """What wrk measured in turns.

    Arguments:
        folder: for wrk's scripts.
    """

    def __init__(self, folder: Path) -> None:
        self._script = folder / "wrk.lua"
        self._measured: dict[str, list[tuple[float, float, float]]] = {}
        self.figures: dict[str, float] = {}

    def ask(self, name: str, port: int, question: Question, connections: int) -> None:
        """Have it asked for some seconds."""
        self._script.write_text(question.script)
        address = f"http://127.0.0.1:{port}{question.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(self._script), address]
        *_, last = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        median, p99, a_second, wrong = json.loads(last)
        assert wrong == 0, f"{name}: {wrong} answers were no images"
        self._measured.setdefault(name, []).append((median, p99, a_second))

    def told(self, name: str) -> tuple[float, float]:
        """Tell what was measured. Returns the median in ms, and how many a second."""
        median, p99, a_second = (statistics.median(turn[part] for turn in self._measured[name]) for part in range(3))
        print(f"{name:20}{median:8.1f} ms, p99 {p99:.1f} ({p99 / median:.1f}x), {a_second:.0f} a second")
        self.figures[f"api_{name.replace(', ', '_').replace(' ', '_')}_ms"] = median
        return median, a_second


def main() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("This measures with wrk: install Debian's package of that name")
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)
    services, facts = start_installation(folder)
    # Lines are written as in production, where nobody reads them.
    with (folder / "log").open("w") as log:
        with redirect_stderr(log):
            configure_logs(development=False)
        measure(services, facts, Turns(folder), peers="--peers" in sys.argv)


def measure(services: Services, facts: dict[str, str], turns: Turns, *, peers: bool) -> None:
    """Measure and tell."""
    card = publish_card(services, facts["template"])
    host = {"Host": "localhost"}
    headers = {
        "Authorization": f"Bearer {facts['api_key']}",
        "Content-Type": "application/json",
        "Accept": "image/jpeg",
    }
    image = {"template": str(card.template_id), "data": row(NUMBER)}
    post = Question("POST", "/v1/images", headers | host, json.dumps(image))
    same = replace(post, body=post.body.replace(str(NUMBER), "0"))
    get = Question(
        "GET", services.signed_urls.on_demand_image(card.workspace_id, card.template_id, Format.JPEG, row(0)), host
    )
    server = create_server(create_app(services), {}, listen="127.0.0.1:0", threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    port, alone = server.effective_port, []
    # The processes that render are started when two images are rendered at once.
    turns.ask("", port, post, 2)
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        alone.append(engine(services, card))
        turns.ask("uncached, one", port, post, 1)
        alone.append(engine(services, card))
        turns.ask(f"uncached, {CONNECTIONS}", port, post, CONNECTIONS)
        turns.ask("cached POST, one", port, same, 1)
        turns.ask("cached GET, one", port, get, 1)
        turns.ask(f"cached GET, {CONNECTIONS}", port, get, CONNECTIONS)
    engine_ms = statistics.median(alone)
    print(f"{'engine alone':20}{engine_ms:8.1f} ms")
    (median, one), (_, many) = turns.told("uncached, one"), turns.told(f"uncached, {CONNECTIONS}")
    print(f"  {median / engine_ms:.2f}x the engine; {many / one:.2f}x as many as one connection")
    for name in ("cached POST, one", "cached GET, one", f"cached GET, {CONNECTIONS}"):
        turns.told(name)
    if peers:
        with takumi_server() as takumi:
            turns.ask("takumi, one", takumi, post, 1)
            turns.ask(f"takumi, {CONNECTIONS}", takumi, post, CONNECTIONS)
        (_, takumi_one), (_, takumi_many) = turns.told("takumi, one"), turns.told(f"takumi, {CONNECTIONS}")
        print(f"  ours: {one / takumi_one:.1f}x and {many / takumi_many:.1f}x as many")
    save_figures(turns.figures | {"api_engine_alone_ms": engine_ms})
    services.close()


if __name__ == "__main__":
    main()
