"""The real-time API through its whole HTTP path, beside the engine alone, in one run: `make bench`.

waitress in this process, as `cwz serve` runs it, and clients on loopback that keep their connection: one, then eight.
Each picture has a title of its own; "cached" asks for one and the same.
"""

import atexit
import http.client
import json
import logging
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import waitress
from people import RESULTS, start

from cwz_web.app import create_app
from cwz_web.imaging.encoders import Output
from cwz_web.storage.originals import Originals
from cwz_web.web.services import Services

PICTURES = 400
CLIENTS = 8


def engine(services: Services, template: str) -> list[float]:
    """The ms of each picture, drawn by the engine alone."""
    state = services.recipes.state(UUID(template))
    assert state is not None
    recipe = services.recipes.of(state)
    places = [connection.place for connection in recipe.connections]
    originals = Originals(state.workspace_id, places, services.providers.open)

    def draw(number: int) -> None:
        order = services.maker.order(originals, recipe.design.document, {"title": f"Mug {number}"}, Output())
        services.maker.finish(order)

    return timed(draw, range(PICTURES))


def timed(work: Callable[[int], None], numbers: range) -> list[float]:
    """The ms of each."""
    times = []
    for number in numbers:
        begun = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - begun) * 1000)
    return times


def asked(port: int, ask: Callable[[http.client.HTTPConnection, int], None], clients: int, first: int) -> list[float]:
    """The ms of each request, with so many connections at once."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        share = PICTURES // clients
        begin = first + number * share
        try:
            return timed(lambda each: ask(connection, each), range(begin, begin + share))
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as pool:
        return [ms for times in pool.map(client, range(clients)) for ms in times]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)
    services, facts = start(folder)
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = waitress.create_server(create_app(services), listen="127.0.0.1:0", threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    port = server.effective_port
    headers = {
        "Authorization": f"Bearer {facts['api_key']}",
        "Content-Type": "application/json",
        "Accept": "image/jpeg",
    }
    headers["Host"] = "localhost"
    address = urlsplit(facts["signed_url"])

    def post(connection: http.client.HTTPConnection, number: int) -> None:
        body = json.dumps({"template": facts["template"], "data": {"title": f"Mug {number}"}})
        connection.request("POST", "/v1/images", body, headers)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data[:300]

    def get(connection: http.client.HTTPConnection, number: int) -> None:
        connection.request("GET", f"{address.path}?{address.query}", headers={"Host": "localhost"})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 1000) == (200, True)

    alone = statistics.median(engine(services, facts["template"]))
    results = {"api_engine_ms": alone}
    print(f"{'engine alone':28}{alone:8.1f} ms")
    one = 0.0
    for name, ask, clients in (
        ("uncached, one connection", post, 1),
        (f"uncached, {CLIENTS} connections", post, CLIENTS),
        ("cached POST, one", lambda connection, _: post(connection, 0), 1),
        ("cached GET, one", get, 1),
        (f"cached GET, {CLIENTS}", get, CLIENTS),
    ):
        begun = time.perf_counter()
        times = sorted(asked(port, ask, clients, PICTURES * 10 * clients))
        a_second = len(times) / (time.perf_counter() - begun)
        median, p99 = statistics.median(times), times[len(times) * 99 // 100]
        ratio = f"{median / alone:.2f}x the engine" if name.startswith("uncached, one") else ""
        if name.startswith("uncached"):
            ratio = ratio or f"{a_second / one:.2f}x one connection"
            one = one or a_second
        results[f"api_{name.replace(', ', '_').replace(' ', '_')}_ms"] = median
        print(f"{name:28}{median:8.1f} ms, p99 {p99:.1f} ({p99 / median:.1f}x), {a_second:.0f} a second  {ratio}")
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(kept | results, indent=2) + "\n")
    server.close()
    services.database.dispose()


if __name__ == "__main__":
    main()
