"""Addresses inside the site: where a page lies, which workspace it is in, and where somebody may be sent."""

from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.events import ContextFound
from pyramid.httpexceptions import HTTPNotFound

from cwz_web.web.request import Request

SIGN_IN = "/signin"


def sign_in_path(request: Request) -> str:
    """The sign-in page, with the way back to where somebody wanted to go."""
    wanted = request.path_qs if request.method == "GET" else request.path
    return f"{SIGN_IN}?{urlencode({'next': wanted})}"


def safe_next(path: str) -> str:
    """The path when it lies inside this site, else the front page. `//host`, `/\\host` and the like lead outside."""
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if inside else "/"


def after_position(request: Request, name: str = "after") -> int:
    """Where a page of rows begins (`?after=`); anything that is no position begins at the top."""
    return as_number(request.GET.get(name, ""))


def as_number(text: str) -> int:
    """The number that a part of an address says; 0 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _refuse_what_follows(event: ContextFound) -> None:
    """A path that goes on after its page names nothing: `/signup/and/more` is not there."""
    request = event.request
    if request.matched_route is None and request.subpath:
        raise HTTPNotFound


def includeme(config: Configurator) -> None:
    """Refuse paths that continue after their page."""
    config.add_subscriber(_refuse_what_follows, ContextFound)
