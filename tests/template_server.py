"""The API of templates and uploads in memory, for tests of its client."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx

from cwz_web.cli.templates.client import Client
from cwz_web.imaging.documents import ImageTemplate

KEY = "cwz_live_" + "k" * 43


def as_stored(document: Any) -> Any:
    """Return a document as the server stores it: without default values."""
    return json.loads(ImageTemplate.model_validate(document).to_json())


def client_of(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    """Return a client whose requests a function answers."""

    def stream(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        if not response.is_stream_consumed:
            return response
        return httpx.Response(response.status_code, headers=response.headers, content=iter([response.content]))

    transport = httpx.MockTransport(stream)
    return Client("https://images.example", KEY, transport=transport, **{"sleep": lambda _: None} | options)


@dataclass
class StoredTemplate:
    id: UUID
    slug: str
    name: str
    versions: list[Any]
    draft: Any = None
    step: int = 0

    @property
    def etag(self) -> str:
        return sha256(f"{self.name} {len(self.versions)} {self.step}".encode()).hexdigest()[:32]

    def summary(self) -> dict[str, Any]:
        return {"id": str(self.id), "slug": self.slug, "name": self.name, "version": len(self.versions)}


@dataclass
class TemplateServer:
    """A server; `requests` are the methods and paths that were sent, `changes` those that change something."""

    templates: list[StoredTemplate] = field(default_factory=list)
    uploads: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def add(self, name: str, document: Any, slug: str | None = None) -> StoredTemplate:
        slug = slug if slug is not None else name.lower().replace(" ", "-")
        template = StoredTemplate(uuid4(), slug, name, [as_stored(document)])
        self.templates.insert(0, template)
        return template

    def add_upload(self, data: bytes, name: str = "Logo", content_type: str = "image/jpeg") -> str:
        digest = sha256(data).hexdigest()
        self.uploads[digest] = (name, content_type, data)
        return digest

    def client(self) -> Client:
        return client_of(lambda request: self.answer(request))

    @property
    def changes(self) -> list[str]:
        return [each for each in self.requests if not each.startswith("GET")]

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        parts = request.url.path.split("/")[2:]
        if parts[0] == "uploads":
            return self._answer_upload(request, parts)
        if len(parts) == 1 and request.method == "GET":
            return httpx.Response(200, json={"templates": [t.summary() for t in self.templates], "next": None})
        if len(parts) == 1:
            body = json.loads(request.content)
            return self._show(self.add(body["name"], body["document"]), status=201)
        template = next((t for t in self.templates if parts[1] in (str(t.id), t.slug)), None)
        if template is None:
            return httpx.Response(404, json={"detail": "There is no such template"})
        if parts[2:] == ["draft"]:
            return self._show(template, template.draft)
        if parts[2:3] == ["versions"]:
            return httpx.Response(200, json={"number": 1, "document": template.versions[int(parts[3]) - 1]})
        if request.method == "GET":
            return self._show(template)
        if request.headers["If-Match"] != f'"{template.etag}"':
            return httpx.Response(412, json={"detail": "The template has changed since"})
        document = template.draft if parts[2:] == ["publish"] else as_stored(json.loads(request.content)["document"])
        if parts[2:] == ["publish"] or json.loads(request.content)["publish"]:
            self.publish(template, document)
            return self._show(template)
        self.save_draft(template, document)
        return self._show(template, template.draft)

    def publish(self, template: StoredTemplate, document: Any) -> None:
        template.draft = None
        if template.versions[-1] != document:
            template.versions.append(as_stored(document))

    def save_draft(self, template: StoredTemplate, document: Any) -> None:
        template.draft, template.step = as_stored(document), template.step + 1

    def _show(self, template: StoredTemplate, document: Any = None, status: int = 200) -> httpx.Response:
        body = template.summary() | {"has_draft": template.draft is not None}
        body["document"] = document or template.versions[-1]
        return httpx.Response(status, json=body, headers={"ETag": f'"{template.etag}"'})

    def _answer_upload(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        if request.method == "POST":
            content = request.read()
            _, _, rest = content.partition(b'filename="upload"')
            data = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
            digest = self.add_upload(data)
        else:
            digest = parts[1]
        if digest not in self.uploads:
            return httpx.Response(404, json={"detail": "There is no such upload"})
        name, content_type, data = self.uploads[digest]
        if parts[2:] == ["file"]:
            return httpx.Response(200, content=data, headers={"Content-Type": content_type})
        return httpx.Response(200, json={"name": name, "content_type": content_type, "digest": digest})
