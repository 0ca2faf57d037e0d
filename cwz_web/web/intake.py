"""What is refused before anything looks at it: odd methods, addresses that are no UTF-8 or hold a NUL."""

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def intake_tween(handler: Callable[[Request], Response], registry: object) -> Callable[[Request], Response]:
    """Answer what can not be a request of ours, by raising for the error views."""

    def checked(request: Request) -> Response:
        if request.method not in METHODS:
            raise HTTPMethodNotAllowed
        try:
            spoken = [request.path_info, *request.GET.keys(), *request.GET.values()]
        except UnicodeDecodeError:
            raise HTTPBadRequest("The address is not valid UTF-8") from None
        if any("\x00" in text for text in spoken):
            raise HTTPBadRequest("The address holds a character that is not allowed")
        return handler(request)

    return checked


def includeme(config: Configurator) -> None:
    """Install the tween below the one that turns exceptions into pages."""
    config.add_tween("cwz_web.web.intake.intake_tween", under="pyramid.tweens.excview_tween_factory")
