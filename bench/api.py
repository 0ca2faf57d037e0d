"""The real-time API through its whole HTTP path, beside the engine alone, in one run: `make bench`.

waitress in this process, as `cwz serve` runs it, and clients in another one, on loopback, that keep their connection:
one, then eight. The photo card of `cards.py`; each picture has words of its own; "cached" asks for one and the same.
With --peers, takumi behind Node's HTTP server is asked for the same card (`make bench-peers`).
"""

import atexit
import gc
import http.client
import json
import logging
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import waitress
from cards import CARDS, SOURCES, row
from figures import keep
from peers import takumi_server
from people import start

from cwz_web.app import create_app
from cwz_web.generation.recipes import State
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.storage.connections import default_connection, original_key
from cwz_web.storage.originals import Originals
from cwz_web.web.services import Services

PICTURES = 200
ROUNDS = 4
CONNECTIONS = 8
# Stands for the number of a picture in what is asked.
NUMBER = 123456789


def publish_card(services: Services, demo_template: str) -> State:
    """The photo card in the demo's workspace, its photo and its logo in the workspace's storage."""
    demo = services.recipes.state(UUID(demo_template))
    assert demo is not None
    with services.database.transaction(demo.workspace_id) as db:
        bucket = services.providers.open(default_connection(db, demo.workspace_id).place)
        written = json.dumps(CARDS["photo_card"].canonical())
        for name, source in SOURCES.items():
            bucket.put(original_key(demo.workspace_id, source.digest), source.data, content_type="image/jpeg")
            written = written.replace(f'"source": "{name}"', f'"source": "original:{source.digest}"')
        document = ImageTemplate.model_validate_json(written)
        card = create_template(db, demo.workspace_id, name="Photo card", document=document)
    state = services.recipes.state(card.id)
    assert state is not None
    return state


def fresh() -> int:
    """A number that no picture had before."""
    return NUMBER + time.time_ns() // 10**6 % 10**8


def engine(services: Services, card: State) -> list[float]:
    """The ms of each picture, drawn by the engine alone."""
    recipe = services.recipes.of(card)
    places = [connection.place for connection in recipe.connections]
    originals = Originals(card.workspace_id, places, services.providers.open)

    def draw(number: int) -> None:
        order = services.maker.order(originals, recipe.design.document, row(number), Output())
        services.maker.finish(order)

    first = fresh()
    return timed(draw, range(first, first + PICTURES))


def timed(work: Callable[[int], None], numbers: range) -> list[float]:
    """The ms of each."""
    times = []
    for number in numbers:
        begun = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - begun) * 1000)
    return times


@dataclass(frozen=True)
class Question:
    """What clients ask, again and again; NUMBER in the body becomes each one's own."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    def ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        """Ask it, and read the picture."""
        connection.request(self.method, self.path, self.body.replace(str(NUMBER), str(number)), self.headers)
        answer = connection.getresponse()
        data = answer.read()
        assert (answer.status, len(data) > 1000) == (200, True), data[:300]


def asked(port: int, question: Question, connections: int) -> list[float]:
    """The ms of each request, with so many connections at once."""

    def client(first: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            return timed(lambda each: question.ask(connection, each), range(first, first + PICTURES // connections))
        finally:
            connection.close()

    numbers = [fresh() + PICTURES * each for each in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        return [ms for times in pool.map(client, numbers) for ms in times]


def main() -> None:
    peers = "--peers" in sys.argv
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)
    services, facts = start(folder)
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = waitress.create_server(create_app(services), listen="127.0.0.1:0", threads=8)
    gc.collect()
    gc.freeze()
    threading.Thread(target=server.run, daemon=True).start()
    card = publish_card(services, facts["template"])
    host = {"Host": "localhost"}
    headers = {
        "Authorization": f"Bearer {facts['api_key']}",
        "Content-Type": "application/json",
        "Accept": "image/jpeg",
    }
    picture = {"template": str(card.template_id), "data": row(NUMBER)}
    post = Question("POST", "/v1/images", headers | host, json.dumps(picture))
    same = replace(post, body=post.body.replace(str(NUMBER), "0"))
    address = services.addresses.image(card.workspace_id, card.template_id, Format.JPEG, row(0))
    get = Question("GET", address, host)
    results = {}
    clients = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def measure(name: str, port: int, question: Question, connections: int) -> tuple[float, float]:
        """The median in ms, and how many a second."""
        begun = time.perf_counter()
        times = clients.submit(asked, port, question, connections).result()
        return told(name, times, len(times) / (time.perf_counter() - begun))

    def told(name: str, times: list[float], a_second: float) -> tuple[float, float]:
        """Print and keep what was measured. Returns the median in ms, and how many a second."""
        times.sort()
        median, p99 = statistics.median(times), times[len(times) * 99 // 100]
        results[f"api_{name.replace(', ', '_').replace(' ', '_')}_ms"] = median
        print(f"{name:28}{median:8.1f} ms, p99 {p99:.1f} ({p99 / median:.1f}x), {a_second:.0f} a second")
        return median, a_second

    port = server.effective_port
    # The processes that draw are started when two pictures are drawn at once.
    clients.submit(asked, port, post, 2).result()
    # In turns: what else happens on a machine is another thing a minute later.
    drawn, answered = [], []
    for _ in range(ROUNDS):
        drawn += engine(services, card)
        answered += clients.submit(asked, port, post, 1).result()
    alone, _ = told("engine alone", drawn, 1000 * len(drawn) / sum(drawn))
    median, one = told("uncached, one connection", answered, 1000 * len(answered) / sum(answered))
    _, many = measure(f"uncached, {CONNECTIONS} connections", port, post, CONNECTIONS)
    print(f"  {median / alone:.2f}x the engine; {many / one:.2f}x as many as one connection")
    measure("cached POST, one", port, same, 1)
    measure("cached GET, one", port, get, 1)
    measure(f"cached GET, {CONNECTIONS}", port, get, CONNECTIONS)
    if peers:
        with takumi_server() as takumi:
            _, takumi_one = measure("takumi, one connection", takumi, post, 1)
            _, takumi_many = measure(f"takumi, {CONNECTIONS} connections", takumi, post, CONNECTIONS)
        print(f"  ours: {one / takumi_one:.1f}x and {many / takumi_many:.1f}x as many")
    keep(results)
    clients.shutdown()
    server.close()
    services.close()


if __name__ == "__main__":
    main()
