"""Clients that code generators make from the OpenAPI document: in Python, called here, and in TypeScript, compiled."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyramid.router import Router

from cwz_web.api.openapi import document
from cwz_web.generation.api_keys import Scope
from tests.factories import Factory
from tests.installation import ROOT, node
from tests.wsgi_server import serving

PYTHON_CLIENT = "cwz_client"
# The compiler checks that members with defaults can be left out, and that codes, states and events are enumerations.
TYPESCRIPT = """
import type { components, paths, webhooks } from "./schema";
type Schemas = components["schemas"];
type Body = paths["/images"]["post"]["requestBody"];
const image: Body = { content: { "application/json": { template: "card", metadata: { order: 7 } } } };
const run: Schemas["RunRequest"] = { feed: "f", template: "card", outputs: [{ format: "jpg" }] };
const state: Schemas["RunItemInfo"]["state"] = "done";
const code: Schemas["ProblemInfo"]["code"] = "quota_exceeded";
type Message = webhooks["image.created"]["post"]["requestBody"]["content"]["application/json"];
const url = (message: Message): string => message.data.url;
// @ts-expect-error: not a state
const wrong: Schemas["RunItemInfo"]["state"] = "lost";
export { image, run, state, code, url, wrong };
"""


def run(*command: str | Path, folder: Path) -> None:
    """Run a program; its output is the message if it fails."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the OpenAPI document."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_text(json.dumps(document("https://site.example")))
    return folder


@pytest.fixture(scope="module")
def python_client(folder: Path) -> Any:
    generate = ("-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none")
    run(sys.executable, *generate, "--output-path", PYTHON_CLIENT, "--fail-on-warning", folder=folder)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))


@pytest.mark.slow
def test_python_client_works(python_client: Any, wsgi: Router, make: Factory) -> None:
    def module(name: str) -> Any:
        return python_client(f"{PYTHON_CLIENT}.{name}")

    space = make.workspace()
    template, models = make.template(space), module("models")
    authenticated, headers = module("client").AuthenticatedClient, {"Host": "localhost"}
    key = make.key(space, Scope.ADMIN)
    with serving(wsgi) as port, authenticated(f"http://127.0.0.1:{port}/v1", key, headers=headers) as client:
        values = models.ImageRequestData.from_dict({"title": "Hello"})
        metadata = models.ImageRequestMetadata.from_dict({"order": "A-17"})
        request = models.ImageRequest(template=template.slug, data=values, metadata=metadata)
        image = module("api.images.render_image").sync(client=client, body=request)
        assert (image.content_type, image.metadata.to_dict()) == ("image/jpeg", {"order": "A-17"})
        assert image.id in [each.id for each in module("api.images.list_images").sync(client=client).images]
        later = module("api.images.render_image").sync(
            client=client, body=request, prefer=models.RenderImagePrefer("respond-async")
        )
        assert module("api.images.get_image_request").sync(later.id, client=client).state == "pending"
        feed = module("api.feeds.create_feed").sync(client=client, body=models.FeedRequest(name="Products"))
        file = module("types").File(payload=b"sku,title\n1,One\n")
        started = module("api.feeds.start_feed_import").sync(feed.id, client=client, body=file)
        assert (started.number, started.state) == (1, "queued")
        item = models.ItemRequest(data=models.ItemRequestData.from_dict({"title": "Two"}))
        assert module("api.feeds.put_feed_item").sync(feed.id, "2", client=client, body=item).added == 1
        deleted = module("api.feeds.delete_feed_item").sync_detailed(feed.id, "2", client=client)
        assert deleted.status_code == 204
        problem = module("api.templates.get_template").sync("none", client=client)
        assert (problem.code, problem.status) == ("not_found", 404)
        assert module("api.usage.get_usage").sync(client=client).used == 2


@pytest.mark.slow
def test_typescript_client_compiles(folder: Path) -> None:
    tools = ROOT / "node_modules"
    run(node(), tools / "openapi-typescript/bin/cli.js", "openapi.json", "--output", "schema.d.ts", folder=folder)
    (folder / "use.ts").write_text(TYPESCRIPT)
    options = ("--noEmit", "--strict", "--skipLibCheck", "--lib", "es2022")
    run(node(), tools / "typescript/bin/tsc", *options, "use.ts", folder=folder)
