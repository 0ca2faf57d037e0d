"""The index of the documentation."""

from dataclasses import dataclass

from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.resources.application import DocsRoot
from cwz_web.web.request import Request


@dataclass(frozen=True)
class DocsLink:
    """A page of the documentation."""

    label: str
    about: str
    url: str


@dataclass(frozen=True)
class DocsPage:
    """What docs/index.jinja2 shows. The guides are in the source code."""

    reference: tuple[DocsLink, ...]
    guides: list[DocsLink]


REFERENCE = (
    DocsLink("API reference", "Every operation, with an example in curl, Python and JavaScript", "/docs/api"),
    DocsLink("OpenAPI", "The same as openapi.json (OpenAPI 3.1), for code generators", "/v1/openapi.json"),
    DocsLink("Template schema", "The JSON schema of a template document, for editors of code", "/v1/schemas/template"),
    DocsLink("Security", "What is promised, and the test that proves each claim", "/security"),
    DocsLink("Changelog", "What changed", "/changelog"),
)
GUIDES = (
    DocsLink("Templates", "Layers, stacks, fields, expressions, sizes, brand, versions", "templates.md"),
    DocsLink("Editor", "Everything that the editor does, and all keys", "editor.md"),
    DocsLink("Feeds", "File types, columns, keys, schedules, imports", "feeds.md"),
    DocsLink("API", "Images, feeds, runs, signed URLs, webhooks", "api.md"),
    DocsLink("Single sign-on", "Passkeys, identity providers, verified domains", "single-sign-on.md"),
    DocsLink("Operations", "Installation, upgrades, backups, monitoring", "operations.md"),
)


@view_config(
    context=DocsRoot, name="", request_method="GET", renderer="docs/index.jinja2", permission=NO_PERMISSION_REQUIRED
)
def docs_index(context: DocsRoot, request: Request) -> DocsPage:
    """Show the pages of the documentation; the guides if the operator names the source code that has them."""
    source = request.services.settings.operator.source
    guides = [DocsLink(guide.label, guide.about, f"{source}/docs/{guide.url}") for guide in GUIDES] if source else []
    return DocsPage(REFERENCE, guides)
