"""The documentation: its index, and the guides, which are Markdown files of the package."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

import cwz_web
from cwz_web.resources.application import DocsRoot, GuideResource
from cwz_web.web.markdown import MarkdownPage, render_markdown
from cwz_web.web.request import Request

GUIDES_PATH = "/docs/guides"


@dataclass(frozen=True)
class DocsLink:
    """A page of the documentation."""

    label: str
    about: str
    url: str


@dataclass(frozen=True)
class DocsPage:
    """The view model of docs/index.jinja2."""

    reference: tuple[DocsLink, ...]
    guides: tuple[DocsLink, ...]


@dataclass(frozen=True)
class GuidePage:
    """The view model of docs/guide.jinja2."""

    guide: DocsLink
    page: MarkdownPage


REFERENCE = (
    DocsLink("API reference", "Every operation, with an example in curl, Python and JavaScript", "/docs/api"),
    DocsLink("OpenAPI", "The same as openapi.json (OpenAPI 3.1), for code generators", "/v1/openapi.json"),
    DocsLink("Template schema", "The JSON schema of a template document, for editors of code", "/v1/schemas/template"),
    DocsLink("Security", "What is promised, and the test that proves each claim", "/security"),
    DocsLink("Changelog", "What changed", "/changelog"),
)
GUIDES = {
    name: DocsLink(label, about, f"{GUIDES_PATH}/{name}")
    for name, label, about in (
        ("templates", "Templates", "Layers, stacks, fields, expressions, sizes, brand, versions"),
        ("editor", "Editor", "Everything that the editor does, and all keys"),
        ("feeds", "Feeds", "File types, columns, keys, schedules, imports"),
        ("campaigns", "Campaigns", "Design rules, windows, publications, decisions, roll back"),
        ("channels", "Channels", "Feeds for platforms and shops, delivery to your storage, fetch log"),
        ("api", "API", "Images, feeds, runs, signed URLs, webhooks"),
        ("clients", "Clients", "The API from Python and TypeScript"),
        ("no-code", "Without code", "n8n, Zapier, Make and Google Sheets"),
        ("mcp", "AI assistants", "Connect Claude, Cursor and VS Code through MCP: set-up, tools, safety"),
        ("importers", "Move from Bannerbear or Placid", "What becomes of their templates, and what has no equivalent"),
        ("single-sign-on", "Single sign-on", "Passkeys, identity providers, verified domains"),
        ("operations", "Operations", "Installation, upgrades, backups, monitoring"),
    )
}


@view_config(
    context=DocsRoot, name="", request_method="GET", renderer="docs/index.jinja2", permission=NO_PERMISSION_REQUIRED
)
def docs_index(context: DocsRoot, request: Request) -> DocsPage:
    """Show the pages of the documentation."""
    return DocsPage(REFERENCE, tuple(GUIDES.values()))


@view_config(
    context=GuideResource, request_method="GET", renderer="docs/guide.jinja2", permission=NO_PERMISSION_REQUIRED
)
def guide_page(context: GuideResource, request: Request) -> GuidePage:
    """Show a guide."""
    name = context.__name__
    return GuidePage(GUIDES[name], render_guide(name, request.services.settings.operator.source))


@lru_cache(maxsize=len(GUIDES))
def render_guide(name: str, source: str) -> MarkdownPage:
    """Render a guide.

    Args:
        name: One of GUIDES.
        source: The URL of the source code, which has the documents that are no guides; without it, links are texts.
    """

    def resolve(url: str) -> str | None:
        if url.startswith(("https://", "#")):
            return url
        file, _, anchor = url.partition("#")
        if (guide := file.removesuffix(".md")) in GUIDES:
            return f"{GUIDES_PATH}/{guide}#{anchor}".rstrip("#")
        return f"{source}/docs/{url}" if source else None

    return render_markdown(files(cwz_web).joinpath("guides", f"{name}.md").read_text(), resolve)
