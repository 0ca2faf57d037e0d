"""The documentation: its index, and the guides, as pages and as Markdown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.guides import GUIDES, PARTS, PATH, Guide
from cwz_web.resources.application import DocsRoot, GuideResource, GuideText
from cwz_web.web.example_data import ExampleData, fill_examples, find_example_data, is_about_samples
from cwz_web.web.markdown import MarkdownPage, render_markdown
from cwz_web.web.request import Request

MARKDOWN_LINK = re.compile(r"(\[[^\]\n]*\])\(([^)\s]+)\)")


@dataclass(frozen=True)
class DocsLink:
    """A page of the documentation."""

    label: str
    about: str
    url: str


@dataclass(frozen=True)
class DocsPage:
    """The view model of docs/index.jinja2."""

    parts: Mapping[str, tuple[DocsLink | Guide, ...]]


@dataclass(frozen=True)
class GuidePage:
    """The view model of docs/guide.jinja2; `about` is what its examples are about, if it has some."""

    guide: Guide
    page: MarkdownPage
    about: ExampleData | None


REFERENCE = (
    DocsLink("API reference", "Every operation, with an example in curl, Python and JavaScript", "/docs/api"),
    DocsLink("OpenAPI", "The same as openapi.json (OpenAPI 3.1), for code generators", "/v1/openapi.json"),
    DocsLink("Template schema", "The JSON schema of a template document, for editors of code", "/v1/schemas/template"),
    DocsLink("Security", "What is promised, and the test that proves each claim", "/security"),
    DocsLink("Changelog", "What changed", "/changelog"),
)


@view_config(
    context=DocsRoot, name="", request_method="GET", renderer="docs/index.jinja2", permission=NO_PERMISSION_REQUIRED
)
def docs_index(context: DocsRoot, request: Request) -> DocsPage:
    """Show the pages of the documentation."""
    return DocsPage({**PARTS, "Reference": REFERENCE})


@view_config(
    context=GuideResource, request_method="GET", renderer="docs/guide.jinja2", permission=NO_PERMISSION_REQUIRED
)
def guide_page(context: GuideResource, request: Request) -> GuidePage:
    """Show a guide."""
    guide, settings = GUIDES[context.__name__], request.services.settings
    about = find_example_data(request) if is_about_samples(guide.read()) else None
    source, url = settings.operator.source, settings.url
    if about is None or about == ExampleData():
        page = _render_sample(guide, source, url)
    else:
        page = render_guide(guide, source, url, about)
    return GuidePage(guide, page, about)


@view_config(context=GuideText, request_method="GET", permission=NO_PERMISSION_REQUIRED)
def guide_text(context: GuideText, request: Request) -> Response:
    """Return a guide in Markdown, with absolute links, for AI assistants."""
    guide, settings = GUIDES[context.__name__.removesuffix(".md")], request.services.settings

    def replace(match: re.Match[str]) -> str:
        url = _resolve(match[2], settings.operator.source, ".md")
        if url is None:
            return match[1]
        return f"{match[1]}({settings.url if url.startswith('/') else ''}{url})"

    text = fill_examples(guide.read(), settings.url, ExampleData())
    return Response(MARKDOWN_LINK.sub(replace, text), content_type="text/markdown", charset="utf-8")


def render_guide(guide: Guide, source: str, url: str, about: ExampleData) -> MarkdownPage:
    """Render a guide.

    Args:
        guide: The guide.
        source: The URL of the source code, which has the documents that are no guides; without it, links are texts.
        url: The URL of the installation.
        about: What the examples are about.
    """
    return render_markdown(fill_examples(guide.read(), url, about), lambda link: _resolve(link, source))


# Not with values of readers, which would stay in memory.
@lru_cache(maxsize=len(GUIDES))
def _render_sample(guide: Guide, source: str, url: str) -> MarkdownPage:
    return render_guide(guide, source, url, ExampleData())


def _resolve(url: str, source: str, extension: str = "") -> str | None:
    """Return the URL of a link in a guide, or None for a document that cannot be read.

    Args:
        url: The link, relative to `docs/`.
        source: The URL of the source code; empty if there is none.
        extension: Follows the path of a guide.
    """
    if url.startswith(("https://", "#")):
        return url
    file, _, anchor = url.partition("#")
    if file.removesuffix(".md") in GUIDES:
        return f"{PATH}/{file.removesuffix('.md')}{extension}#{anchor}".rstrip("#")
    return f"{source}/docs/{url}" if source else None
