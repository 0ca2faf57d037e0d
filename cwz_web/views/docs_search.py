"""The search of the documentation: sections of guides, by their headings and text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.guides import GUIDES, Guide
from cwz_web.resources.application import DocsRoot
from cwz_web.views.docs import render_guide
from cwz_web.web.example_data import SAMPLE_URL, ExampleData
from cwz_web.web.forms import read_query
from cwz_web.web.markdown import Section
from cwz_web.web.request import Request

MAX_QUERY, MAX_WORDS, MAX_RESULTS = 100, 8, 20
# Of a word that can be a plural, in characters without its “s”.
MIN_PLURAL = 3
# Of an excerpt, in characters: before the first word that was found, and altogether.
BEFORE, EXCERPT = 60, 200
# What a word counts in the title of a section or of its guide; in the text, each of the first few counts one.
IN_TITLE, IN_LABEL, MAX_IN_TEXT = 10, 5, 4
WORD = re.compile(r"[^\W_]+")


class DocsQuery(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    q: Annotated[str, Field(max_length=MAX_QUERY)] = ""


@dataclass(frozen=True)
class IndexedSection:
    """A section of a guide, with its texts as `_normalize` returns them."""

    guide: Guide
    section: Section
    title: str
    label: str
    text: str


@dataclass(frozen=True)
class Excerpt:
    """A part of an excerpt, and whether it is a word that was looked for."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class DocsResult:
    """A section that was found."""

    guide: str
    title: str
    url: str
    excerpt: tuple[Excerpt, ...]


@dataclass(frozen=True)
class DocsSearchPage:
    """The view model of docs/search.jinja2."""

    query: str
    results: list[DocsResult]


@view_config(
    context=DocsRoot,
    name="search",
    request_method="GET",
    renderer="docs/search.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def search_docs(context: DocsRoot, request: Request) -> DocsSearchPage:
    """Show the sections with the most words of a query, the best first."""
    query = read_query(DocsQuery, request.GET).q.strip()
    return DocsSearchPage(query, find_sections(_index(request.services.settings.operator.source), query))


def find_sections(index: Sequence[IndexedSection], query: str) -> list[DocsResult]:
    """Return the sections with the most words of a query, in any case and as beginnings of words; the best first.

    If no section has all words, those with the next lower number are found. A plural also finds the singular.

    Args:
        index: All sections.
        query: Words; the first MAX_WORDS count.
    """
    words = [match[0] for match in WORD.finditer(query)][:MAX_WORDS]
    if not words:
        return []
    words = [word[:-1] if len(word) > MIN_PLURAL and word.endswith("s") else word for word in words]
    needles = [_normalize(word) for word in words]
    scores = [(points, indexed) for indexed in index if any(points := [_score(indexed, each) for each in needles])]
    most = max((_count(points) for points, _ in scores), default=0)
    found = [(sum(points), indexed) for points, indexed in scores if _count(points) == most]
    found.sort(key=lambda scored: -scored[0])
    beginnings = re.compile("|".join(rf"(?<![^\W_]){word}" for word in words), re.IGNORECASE)
    return [
        DocsResult(
            indexed.guide.label,
            indexed.section.title,
            indexed.guide.url + (f"#{indexed.section.id}" if indexed.section.level > 1 else ""),
            tuple(_cut_excerpt(indexed.section.text, beginnings)),
        )
        for _, indexed in found[:MAX_RESULTS]
    ]


@lru_cache(maxsize=1)
def _index(source: str) -> tuple[IndexedSection, ...]:
    return tuple(
        IndexedSection(guide, section, _normalize(section.title), _normalize(guide.label), _normalize(section.text))
        for guide in GUIDES.values()
        for section in render_guide(guide, source, SAMPLE_URL, ExampleData()).sections
    )


def _normalize(text: str) -> str:
    """Return the words of a text, a space before each, so that their beginnings are found quickly."""
    return "".join(f" {word}" for word in WORD.findall(text.casefold()))


def _count(points: list[int]) -> int:
    """Return how many words were found."""
    return sum(each > 0 for each in points)


def _score(indexed: IndexedSection, needle: str) -> int:
    """Return how much a word counts for a section; 0 if only the label of the guide has it."""
    points = IN_TITLE * (needle in indexed.title) + min(indexed.text.count(needle), MAX_IN_TEXT)
    return points + IN_LABEL if points and needle in indexed.label else points


def _cut_excerpt(text: str, words: re.Pattern[str]) -> list[Excerpt]:
    """Return the beginning of a text, or its part with the first word that was found."""
    first = words.search(text)
    start = text.rfind(" ", 0, max(0, first.start() - BEFORE)) + 1 if first else 0
    end = len(text) if len(text) - start <= EXCERPT else text.rfind(" ", start, start + EXCERPT)
    shown = text[start : end if end > start else start + EXCERPT]
    parts = [Excerpt("…", is_match=False)] if start else []
    position = 0
    for match in words.finditer(shown):
        parts += [Excerpt(shown[position : match.start()], is_match=False), Excerpt(match[0], is_match=True)]
        position = match.end()
    rest = shown[position:] + ("…" if start + len(shown) < len(text) else "")
    return [part for part in (*parts, Excerpt(rest, is_match=False)) if part.text]
