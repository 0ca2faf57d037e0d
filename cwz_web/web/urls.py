"""URLs within the site: redirects, and positions in query strings."""

from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.events import ContextFound
from pyramid.httpexceptions import HTTPNotFound

from cwz_web.web.request import Request

SIGN_IN = "/signin"


def sign_in_path(request: Request) -> str:
    """Return the URL of the sign-in page, which redirects back to the requested page."""
    requested = request.path_qs if request.method == "GET" else request.path
    return f"{SIGN_IN}?{urlencode({'next': requested})}"


def safe_next(path: str) -> str:
    """Return a path within this site, or `/` for one that leads elsewhere, such as `//host` and `/\\host`."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local else "/"


def single_parameter(request: Request, name: str) -> str | None:
    """Return a parameter of the query that occurs exactly once, or None."""
    values: list[str] = request.GET.getall(name)
    return values[0] if len(values) == 1 else None


def after_position(request: Request, name: str = "after") -> int:
    """Return the position after which a list continues (`?after=`); 0 if it is missing or invalid."""
    return parse_number(request.GET.get(name, ""))


def parse_number(text: str) -> int:
    """Return the number in a part of a URL; 0 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _reject_subpath(event: ContextFound) -> None:
    """Answer 404 for a path that continues after its page: `/signup/and/more`."""
    request = event.request
    if request.matched_route is None and request.subpath:
        raise HTTPNotFound


def includeme(config: Configurator) -> None:
    """Install the check of the subpath."""
    config.add_subscriber(_reject_subpath, ContextFound)
