"""The changelog as a page: CHANGELOG.md, which is part of the package."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

import cwz_web
from cwz_web.resources.application import Root
from cwz_web.web.request import Request


@dataclass(frozen=True)
class ChangelogPage:
    """What public/changelog.jinja2 shows."""

    releases: Markup


@view_config(
    context=Root,
    name="changelog",
    request_method="GET",
    renderer="public/changelog.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def changelog(context: Root, request: Request) -> ChangelogPage:
    """Show what changed, newest first."""
    return ChangelogPage(_render_file(request.services.settings.operator.source))


@lru_cache(maxsize=1)
def _render_file(source: str) -> Markup:
    return render_changelog(files(cwz_web).joinpath("CHANGELOG.md").read_text(), source)


def render_changelog(text: str, source: str = "") -> Markup:
    """Return the releases of a changelog in the form of Keep a Changelog as HTML.

    Args:
        text: The changelog in Markdown. Its HTML is shown as text.
        source: The URL of the source code, which relative links are based on; without it they are texts.
    """
    _, heading, releases = text.partition("\n## ")
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(re.sub(r"^## \[(.+?)\]", r"## \1", f"{heading}{releases}", flags=re.MULTILINE))
    for token in tokens:
        if token.children:
            token.children = list(_resolve_links(token.children, source))
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - escaped by the renderer


def _resolve_links(tokens: Sequence[Token], source: str) -> Iterator[Token]:
    is_text = False
    for token in tokens:
        if token.type == "link_open":
            url = str(token.attrGet("href"))
            is_relative = not url.startswith("https://")
            is_text = is_relative and not source
            if is_relative:
                token.attrSet("href", f"{source}/{url}")
        if not (is_text and token.type in ("link_open", "link_close")):
            yield token
