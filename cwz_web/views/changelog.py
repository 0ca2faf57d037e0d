"""The changelog as a page: the lists and emphases of CHANGELOG.md, which is part of the package."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from markupsafe import Markup, escape
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

import cwz_web
from cwz_web.resources.application import Root
from cwz_web.web.request import Request

# `code`, **strong**, *emphasis* and [text](url), none of which contains another one except for a link's text.
_inline = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*|\*(?P<em>[^*]+)\*|\[(?P<text>[^\]]+)\]\((?P<url>[^)]+)\)"
)


@dataclass(frozen=True)
class Changes:
    """The entries of a release under one heading, such as Added; texts before the first heading have none."""

    heading: str
    paragraphs: list[Markup]
    entries: list[Markup]


@dataclass(frozen=True)
class Release:
    """A release with its changes."""

    title: str
    changes: list[Changes]


@dataclass(frozen=True)
class ChangelogPage:
    """What public/changelog.jinja2 shows."""

    releases: list[Release]


@view_config(
    context=Root,
    name="changelog",
    request_method="GET",
    renderer="public/changelog.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def changelog(context: Root, request: Request) -> ChangelogPage:
    """Show what changed, newest first."""
    return ChangelogPage(_read_file(request.services.settings.operator.source))


@lru_cache(maxsize=1)
def _read_file(source: str) -> list[Release]:
    return read_changelog(files(cwz_web).joinpath("CHANGELOG.md").read_text(), source)


def read_changelog(text: str, source: str = "") -> list[Release]:
    """Return the releases of a changelog in the form of Keep a Changelog.

    Args:
        source: The URL of the source code, which relative links are based on; without it they are texts.
    """
    releases: list[Release] = []
    for block in _blocks(text):
        if block.startswith("## "):
            releases.append(Release(block.removeprefix("## ").strip("[]"), [Changes("", [], [])]))
        elif block.startswith("### "):
            releases[-1].changes.append(Changes(block.removeprefix("### "), [], []))
        elif releases and block.startswith("- "):
            releases[-1].changes[-1].entries.append(_markup(block.removeprefix("- "), source))
        elif releases:
            releases[-1].changes[-1].paragraphs.append(_markup(block, source))
    return releases


def _blocks(text: str) -> Iterator[str]:
    """Yield the headings, entries and paragraphs, each in one line."""
    block: list[str] = []
    for line in text.splitlines():
        if block and (not line.strip() or line.startswith(("#", "- "))):
            yield " ".join(block)
            block = []
        if line.strip():
            block.append(line.strip())
    if block:
        yield " ".join(block)


def _markup(text: str, source: str) -> Markup:
    parts, end = [Markup()], 0
    for found in _inline.finditer(text):
        parts += [escape(text[end : found.start()]), _element(found, source)]
        end = found.end()
    return Markup().join([*parts, escape(text[end:])])


def _element(found: re.Match[str], source: str) -> Markup:
    if found["url"]:
        label, url = _markup(found["text"], source), found["url"]
        if not url.startswith("https://"):
            if not source:
                return label
            url = f"{source}/{url}"
        return Markup('<a href="{}">{}</a>').format(url, label)
    tag = "code" if found["code"] else "strong" if found["strong"] else "em"
    inside = escape(found["code"]) if found["code"] else _markup(found[tag], source)
    return Markup("<{0}>{1}</{0}>").format(Markup(tag), inside)  # noqa: S704 - one of three names
