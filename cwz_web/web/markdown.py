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
class Section:
    """A heading, and what follows it until the next one, as plain text.

    Attributes:
        id: The id of the heading in the HTML.
        level: 1 to 6.
        title: The heading.
        text: What follows it.
    """

    id: str
    level: int
    title: str
    text: str


@dataclass(frozen=True)
class MarkdownPage:
    """A document as HTML, and its sections."""

    html: Markup
    sections: tuple[Section, ...]


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
    used: Counter[str] = Counter()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            slug = slugify(inline.content)
            token.attrSet("id", f"{slug}-{used[slug]}" if used[slug] else slug)
            used[slug] += 1
    for token in tokens:
        if token.children:
            token.children = list(_resolve_links(token.children, resolve))
    html = markdown.renderer.render(tokens, markdown.options, {})
    return MarkdownPage(Markup(html), tuple(_split_sections(tokens)))  # noqa: S704 - escaped by the renderer


def _split_sections(tokens: Sequence[Token]) -> Iterator[Section]:
    """Yield the sections of a parsed document; what precedes the first heading belongs to none."""
    starts = [index for index, token in enumerate(tokens) if token.type == "heading_open"]
    for start, end in pairwise([*starts, len(tokens)]):
        heading, title = tokens[start], tokens[start + 1]
        texts = map(_plain_text, tokens[start + 3 : end])
        yield Section(
            str(heading.attrGet("id")), int(heading.tag[1:]), _plain_text(title), " ".join(filter(None, texts))
        )


def _plain_text(token: Token) -> str:
    """Return the text of a block; empty for tokens that only open or close one."""
    if token.children is None:
        return token.content
    return "".join(" " if child.type == "softbreak" else child.content for child in token.children)


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
