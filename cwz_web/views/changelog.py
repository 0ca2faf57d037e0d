"""The changelog as a page: CHANGELOG.md, which is part of the package."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from markupsafe import Markup
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

import cwz_web
from cwz_web.resources.application import Root
from cwz_web.web.markdown import render_markdown
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

    def resolve(url: str) -> str | None:
        if url.startswith("https://"):
            return url
        return f"{source}/{url}" if source else None

    _, heading, releases = text.partition("\n## ")
    plain = re.sub(r"^## \[(.+?)\]", r"## \1", f"{heading}{releases}", flags=re.MULTILINE)
    return render_markdown(plain, resolve).html
