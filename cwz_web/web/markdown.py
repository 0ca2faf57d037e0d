"""Pages of our own documents, which are written in Markdown."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from slugify import slugify


@dataclass(frozen=True)
class Heading:
    """A heading of the second level."""

    id: str
    text: str


@dataclass(frozen=True)
class MarkdownPage:
    """A document as HTML, with its headings."""

    html: Markup
    headings: tuple[Heading, ...]


def render_markdown(text: str, resolve: Callable[[str], str | None]) -> MarkdownPage:
    """Render a document in CommonMark with tables. Its HTML is shown as text, and its images are left out.

    Args:
        text: The document.
        resolve: Returns the URL of a link, or None to show its text only.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    tokens = markdown.parse(text)
    headings: list[Heading] = []
    used: Counter[str] = Counter()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            slug = slugify(inline.content)
            heading = Heading(f"{slug}-{used[slug]}" if used[slug] else slug, inline.content.replace("`", ""))
            used[slug] += 1
            token.attrSet("id", heading.id)
            headings += [heading] if token.tag == "h2" else []
    for token in tokens:
        if token.children:
            token.children = list(_resolve_links(token.children, resolve))
    html = markdown.renderer.render(tokens, markdown.options, {})
    return MarkdownPage(Markup(html), tuple(headings))  # noqa: S704 - escaped by the renderer


def _resolve_links(tokens: Sequence[Token], resolve: Callable[[str], str | None]) -> Iterator[Token]:
    is_text = False
    for token in tokens:
        if token.type == "link_open":
            url = resolve(str(token.attrGet("href")))
            is_text = url is None
            token.attrSet("href", url or "")
        if token.type != "image" and not (is_text and token.type in ("link_open", "link_close")):
            yield token


# A table is scrolled on narrow screens.
def _open_table(*_: Any) -> str:
    return '<div class="table-wrap" tabindex="0" role="region" aria-label="Table"><table>'


def _close_table(*_: Any) -> str:
    return "</table></div>"
