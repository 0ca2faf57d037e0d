"""The clients in Python and TypeScript, generated from the OpenAPI document and called."""

import asyncio
import base64
import hashlib
import hmac
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.demo.contents import TEMPLATE, read_template
from cwz_web.generation.api_keys import Scope
from cwz_web.runs.protocol import SpecificationRequest
from tests.doc_examples import add_own_template, reader_examples
from tests.factories import Factory, sign_in
from tests.installation import ROOT, node
from tests.rendering import jobs, worker
from tests.wsgi_server import serving

pytestmark = pytest.mark.slow

# Of the specification of Standard Webhooks, and of docs/api.md.
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WEBHOOK_BODY = b'{"test": 2432232314}'
SIGNING_KEY = "cwz_sign_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
SIGNED_TEMPLATE = "0190b0a0-0000-7000-8000-000000000002"
SIGNATURE = "pTU87rdB4ncxLiNhJppo6HLB9j_RYXWasVsjiHjqwuE"
BUSY = (503, {"code": "busy", "detail": "Later"})
IN_FLIGHT = (409, {"code": "request_in_flight", "detail": "Still running"})
CREATED = (201, {"id": "0190b0a0-0000-7000-8000-000000000002", "name": "Products"})


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a program and return its output; it is the message if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving_site(wsgi: Router) -> Iterator[str]:
    """Serve the product and yield its URL; the Host of its requests is that of its settings."""
    with serving(lambda environ, start: wsgi(environ | {"HTTP_HOST": "localhost"}, start)) as port:
        yield f"http://127.0.0.1:{port}"


def render_later(wsgi: Router, make: Factory) -> Any:
    """Return the product with a worker: what an image request queues is rendered before its response."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        body = wsgi(environ, start_response)
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/v1/image-requests"):
            for arguments in jobs(make):
                worker(make).render_chunk(SpecificationRequest.model_validate(arguments), last_try=True)
        return body

    return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the clients with what is generated."""
    folder = tmp_path_factory.mktemp("clients") / "clients"
    shutil.copytree(ROOT / "clients", folder, ignore=shutil.ignore_patterns("rest", "dist", "node_modules"))
    run(sys.executable, ROOT / "scripts/generate_clients.py", folder, folder=folder)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Callable[[str], Any]]:
    """Import a module of the client in Python."""
    sys.path.insert(0, str(folder / "python"))
    try:
        yield lambda name="": importlib.import_module(f"connectwyze{name}")
    finally:
        sys.path.remove(str(folder / "python"))


@contextmanager
def answering(*answers: tuple[int, dict[str, Any]] | None, retry_after: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Serve answers one after the other on loopback; None ends the connection. Yield the URL and the requests."""
    requests: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = answers[len(requests)]
            requests.append((self.headers, self.rfile.read(int(self.headers["Content-Length"] or 0))))
            if answer is None:
                self.connection.close()
                return
            body = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            if answer[0] != 201 and retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_python_client_is_typed(folder: Path) -> None:
    modules = sorted((folder / "python/connectwyze").glob("*.py"))
    options = ("--strict", "--follow-imports", "silent", "--cache-dir", folder / "mypy_cache")
    run(sys.executable, "-m", "mypy", *options, *modules, folder=folder / "python")


class TestPython:
    def test_work_of_an_integration(self, client: Callable[..., Any], wsgi: Router, make: Factory) -> None:
        space = make.workspace()
        template, key = make.template(space), make.key(space, Scope.ADMIN)
        create_feed, list_feeds = client(".rest.api.feeds.create_feed"), client(".rest.api.feeds.list_feeds")
        put_item, delete_item = client(".rest.api.feeds.put_feed_item"), client(".rest.api.feeds.delete_feed_item")
        list_images, start_import = client(".rest.api.images.list_images"), client(".rest.api.feeds.start_feed_import")
        models = client(".rest.models")
        with serving_site(wsgi) as url, client().Client(f"{url}/", key) as cwz:
            image = cwz.render(template.slug, {"title": "Hello"}, metadata={"order": "A-17"})
            assert (image.content_type, image.metadata.to_dict()) == ("image/jpeg", {"order": "A-17"})
            assert [each.id for each in cwz.iterate(list_images.sync)] == [image.id]
            rendered = cwz.render_bytes(template.slug, {"title": "Hello"}, format="png")
            assert rendered.content.startswith(b"\x89PNG")
            assert (rendered.content_type, rendered.is_cached) == ("image/png", False)
            names = ["One", "Three", "Two"]
            feeds = [create_feed.sync(client=cwz.rest, body=models.FeedRequest(name=name)) for name in names]
            feed = feeds[0]
            assert sorted(each.name for each in cwz.iterate(list_feeds.sync, limit=1)) == names
            item = models.ItemRequest(data=models.ItemRequestData.from_dict({"title": "Two"}))
            assert put_item.sync(feed.id, "2/ä", client=cwz.rest, body=item).added == 1
            assert delete_item.sync(feed.id, "2/ä", client=cwz.rest) is None
            file = client(".rest.types").File(payload=b"sku,title\n1,One\n")
            started = start_import.sync(feed.id, client=cwz.rest, body=file)
            with pytest.raises(client().WaitTimeoutError):  # no worker runs
                cwz.wait_for_import(feed.id, started.number, timeout=0.1)

    def test_problems_are_errors(self, client: Callable[..., Any], wsgi: Router, make: Factory) -> None:
        space = make.workspace()
        template, key = make.template(space), make.key(space, Scope.ADMIN)
        with serving_site(wsgi) as url, client().Client(url, key) as cwz:
            with pytest.raises(client().ApiError) as error:
                client(".rest.api.templates.get_template").sync("none", client=cwz.rest)
            assert (error.value.status, error.value.code) == (404, "not_found")
            with pytest.raises(client().ApiError) as error:
                cwz.render(template.slug, {"title": "Hello"}, scale=9)
            assert "scale" in error.value.errors
            assert error.value.request_id

    def test_asyncio(self, client: Callable[..., Any], wsgi: Router, make: Factory) -> None:
        space = make.workspace()
        template, key = make.template(space), make.key(space, Scope.ADMIN)
        list_images = client(".rest.api.images.list_images")

        async def use(url: str) -> list[Any]:
            async with client().AsyncClient(url, key) as cwz:
                image, rendered = await asyncio.gather(
                    cwz.render(template.slug, {"title": "Hello"}), cwz.render_bytes(template.slug, {"title": "Hello"})
                )
                assert rendered.content.startswith(b"\xff\xd8")
                with pytest.raises(client().ApiError, match="unknown_template"):
                    await cwz.render("none")
                listed = [each.id async for each in cwz.iterate(list_images.asyncio)]
                images = await cwz.render_set(template.slug, {"title": "Hello"}, outputs=[{}, {"format": "png"}])
                assert [each.cached for each in images.images] == [True, False]
                return [image.id, *listed]

        with serving_site(wsgi) as url:
            first, second = asyncio.run(use(url))
        assert first == second

    def test_what_does_not_return_one_image_is_refused_before_the_request(self, client: Callable[..., Any]) -> None:
        calls: list[tuple[str, dict[str, Any], str]] = [
            ("render", {"outputs": [{}]}, "render_set"),
            ("render", {"dry_run": True}, "dry run"),
            ("render_bytes", {"outputs": [{}]}, "render_set"),
            ("render_bytes", {"dry_run": True}, "dry run"),
            ("render_set", {"outputs": [{}], "dry_run": True}, "dry run"),
        ]
        with answering() as (url, requests):
            for method, options, message in calls:
                with client().Client(url, "key") as cwz, pytest.raises(ValueError, match=message):
                    getattr(cwz, method)("card", **options)
                with pytest.raises(ValueError, match=message):
                    asyncio.run(getattr(client().AsyncClient(url, "key"), method)("card", **options))
        assert requests == []

    def test_another_answer_is_an_error(self, client: Callable[..., Any]) -> None:
        images = {"id": SIGNED_TEMPLATE, "status_url": "https://a.example", "images": [], "metadata": {}}
        with (
            answering((201, images)) as (url, _),
            client().Client(url, "key") as cwz,
            pytest.raises(TypeError, match="ImageSet"),
        ):
            cwz.render("card")

    @pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
    def test_failures_that_pass_are_repeated_with_one_idempotency_key(
        self, client: Callable[..., Any], kind: str
    ) -> None:
        policy = client(".retries").RetryPolicy(retries=3, max_wait=0.01)
        create_feed, body = client(".rest.api.feeds.create_feed"), client(".rest.models").FeedRequest(name="Products")

        def create(url: str) -> None:
            if kind == "Client":
                with client().Client(url, "key", policy=policy) as cwz:
                    create_feed.sync(client=cwz.rest, body=body)
                return

            async def work() -> None:
                async with client().AsyncClient(url, "key", policy=policy) as cwz:
                    await create_feed.asyncio(client=cwz.rest, body=body)

            asyncio.run(work())

        with answering(None, IN_FLIGHT, BUSY, BUSY) as (url, requests), pytest.raises(client().ApiError, match="busy"):
            create(url)
        assert len(requests) == 4
        assert len({headers["Idempotency-Key"] for headers, _ in requests}) == 1
        assert len({body for _, body in requests}) == 1

    def test_what_is_final_is_not_repeated(self, client: Callable[..., Any]) -> None:
        policy = client(".retries").RetryPolicy(max_wait=1)
        for answer, retry_after in ((IN_FLIGHT, ""), (BUSY, "3600"), ((302, {}), ""), ((422, {"code": "x"}), "")):
            with answering(answer, retry_after=retry_after) as (url, requests):
                with client().Client(url, "key", policy=policy) as cwz, pytest.raises(client().ApiError):
                    cwz.render_bytes("card")
                assert len(requests) == 1

    def test_file_is_sent_once(self, client: Callable[..., Any], tmp_path: Path) -> None:
        path = tmp_path / "feed.csv"
        path.write_bytes(b"sku\n1\n")
        start = client(".rest.api.feeds.start_feed_import")
        types = client(".rest.types")
        with answering(BUSY) as (url, requests), path.open("rb") as file, client().Client(url, "key") as cwz:
            body = types.File(payload=file)
            with pytest.raises(client().ApiError, match="busy"):
                start.sync(SIGNED_TEMPLATE, client=cwz.rest, body=body)
        assert len(requests) == 1

    def test_key_is_needed(self, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CWZ_API_KEY", raising=False)
        with pytest.raises(ValueError, match="CWZ_API_KEY"):
            client().Client("http://localhost")

    def test_webhook(self, client: Callable[..., Any]) -> None:
        verify, error, old = client().verify_webhook, client().InvalidWebhookError, 10**10
        headers = {name.title(): value for name, value in WEBHOOK_HEADERS.items()}
        assert verify(WEBHOOK_BODY, headers, WEBHOOK_SECRET, tolerance=old) == {"test": 2432232314}
        rotated = headers | {"Webhook-Signature": f"v1,AAAA {headers['Webhook-Signature']}"}
        assert verify(WEBHOOK_BODY, rotated, WEBHOOK_SECRET, tolerance=old)
        for body, changed in (
            (WEBHOOK_BODY + b" ", headers),
            (WEBHOOK_BODY, headers | {"Webhook-Id": "other"}),
            (WEBHOOK_BODY, headers | {"Webhook-Timestamp": "1614265331"}),
            (WEBHOOK_BODY, headers | {"Webhook-Timestamp": "now"}),
            (WEBHOOK_BODY, headers | {"Webhook-Signature": headers["Webhook-Signature"].replace("v1", "v2")}),
            (WEBHOOK_BODY, {}),
        ):
            with pytest.raises(error):
                verify(body, changed, WEBHOOK_SECRET, tolerance=old)
        with pytest.raises(error, match="now"):
            verify(WEBHOOK_BODY, headers, WEBHOOK_SECRET)

    def test_signed_url(self, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1_799_999_000)
        data = {"title": "Grüße & mehr", "price": "9"}
        url = client().sign_url(
            "https://site.example/",
            SIGNED_TEMPLATE,
            data,
            key=SIGNING_KEY,
            key_number=1,
            format="png",
            expires_in=1000,
        )
        query = f"e=1800000000&k=1&price=9&title=Gr%C3%BC%C3%9Fe+%26+mehr&s={SIGNATURE}"
        assert url == f"https://site.example/i/{SIGNED_TEMPLATE}.png?{query}"


def signed_webhook(secret: str) -> tuple[str, dict[str, str]]:
    """Return a message that is signed now, with its headers, as Standard Webhooks says."""
    body, timestamp = '{"type": "image.created", "data": {}}', str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return body, {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": signature}


class TestExamples:
    """The examples of the guide, as a signed-in reader sees them."""

    @pytest.fixture
    def key(self, wsgi: Router, make: Factory) -> str:
        space = make.workspace()
        make.template(space, read_template(), name=TEMPLATE)
        add_own_template(make, space)
        self.app = TestApp(wsgi)
        sign_in(self.app, make.member(space))
        return make.key(space, Scope.ADMIN)

    def examples(self, language: str, url: str, secret: str = WEBHOOK_SECRET) -> list[str]:
        found = reader_examples(self.app, "clients", language)
        signing = {"cwz_sign_…": SIGNING_KEY, "whsec_…": secret, "http://localhost": url}
        for name, value in signing.items():
            found = [example.replace(name, value) for example in found]
        own, demo = [*found], found.pop(2)
        assert "product-card" in demo, "the layer is one of the demo"
        assert "product-card" not in str(found)
        return own

    def check_output(self, lines: list[str], folder: Path) -> None:
        assert "/i/images/" in lines[0]
        assert [line.split()[:4] for line in lines[1:4]] == [
            ["default", "jpg", "300", "200"],
            ["default", "webp", "300", "200"],
            ["square", "png", "100", "100"],
        ]
        assert lines[4].startswith(("invalid {", "unknown_feed"))
        assert (folder / "card.png").read_bytes().startswith(b"\x89PNG")

    def check_batch(self, lines: list[str]) -> None:
        *made, layers = lines
        assert [line.split()[:3] for line in made] == [
            [key, size, "done"] for key in ("mug-1", "mug-2") for size in ("default", "square")
        ]
        assert all("/i/images/" in line for line in lines)
        assert layers.startswith("http")

    def test_python(
        self,
        client: Callable[..., Any],
        wsgi: Router,
        make: Factory,
        key: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        client()
        lines: list[str] = []  # the server in this process writes its log to the same output
        names = {"print": lambda *values: lines.append(" ".join(map(str, values)))}
        monkeypatch.setenv("CWZ_API_KEY", key)
        monkeypatch.chdir(tmp_path)
        body, headers = signed_webhook(WEBHOOK_SECRET)

        class Request:
            def __init__(self) -> None:
                self.body, self.headers = body.encode(), headers

        with serving_site(render_later(wsgi, make)) as url:
            work, batch, layers, webhook, sign = self.examples("python", url)
            exec(work, names)  # noqa: S102 - our own documentation
            self.check_output(lines, tmp_path)
            lines.clear()
            for code in (batch, layers):
                exec(code, names)  # noqa: S102
        self.check_batch(lines)
        exec(webhook, names | {"request": Request()})  # noqa: S102
        assert lines[-1] == "image.created {}"
        exec(sign, {"template_id": SIGNED_TEMPLATE})  # noqa: S102

    def test_typescript(self, folder: Path, wsgi: Router, make: Factory, key: str) -> None:
        package = build_javascript(folder)
        declarations = "declare const request: Request, id: string;"
        body, headers = signed_webhook(WEBHOOK_SECRET)
        values = json.dumps({"method": "POST", "body": body, "headers": headers})
        prelude = f'const id = "{SIGNED_TEMPLATE}"; const request = new Request("http://localhost/", {values});'
        with serving_site(render_later(wsgi, make)) as url:
            examples = [code.replace('"connectwyze"', '"./dist/index.js"') for code in self.examples("typescript", url)]
            for number, code in enumerate(examples):
                (package / f"example{number}.ts").write_text(f"{declarations}\n{code}")
                (package / f"example{number}.mjs").write_text(f"{prelude}\n{code}")
            (package / "node.d.ts").write_text(NODE_TYPES)
            compile_typescript(package, "node.d.ts", *(f"example{number}.ts" for number in range(len(examples))))
            work, batch, layers, _ = [
                run(node(), f"example{number}.mjs", folder=package, CWZ_API_KEY=key).splitlines()
                for number in range(len(examples))
            ]
        self.check_output(work, package)
        self.check_batch(batch + layers)


# What the example uses of Node.
NODE_TYPES = """
declare const process: { env: Record<string, string | undefined> };
declare module "node:fs/promises" {
  export function writeFile(path: string, content: Uint8Array): Promise<void>;
}
"""


def build_javascript(folder: Path) -> Path:
    """Build the client in JavaScript, once, and return its folder."""
    package = folder / "js"
    if not (package / "dist").exists():
        (package / "node_modules").symlink_to(ROOT / "node_modules")
        run(node(), ROOT / "node_modules/typescript/bin/tsc", "--project", "tsconfig.json", folder=package)
    return package


def compile_typescript(package: Path, *files: str) -> None:
    """Check the types of files."""
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--lib", "es2022,dom")
    run(node(), ROOT / "node_modules/typescript/bin/tsc", *options, *files, folder=package)


def test_typescript_client_works(folder: Path, wsgi: Router, make: Factory) -> None:
    package, space = build_javascript(folder), make.workspace()
    template, key = make.template(space), make.key(space, Scope.ADMIN)
    shutil.copy(ROOT / "tests/clients/types.ts", package / "use.ts")
    compile_typescript(package, "use.ts")
    shutil.copy(ROOT / "tests/clients/client.test.mjs", package / "client.test.mjs")
    with serving_site(wsgi) as url:
        environment = {"CWZ_URL": url, "CWZ_API_KEY": key, "CWZ_TEMPLATE": template.slug}
        run(node(), "--test", "client.test.mjs", folder=package, **environment)
