"""For machines that look after machines: alive, and ready."""

from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import text

from cwz_web.resources import Root


@view_config(context=Root, name="healthz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def alive(context: Root, request: Request) -> Response:
    """The process answers."""
    return Response(json_body={"status": "ok"})


@view_config(context=Root, name="readyz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def ready(context: Root, request: Request) -> Response:
    """The database answers too; the error view says 503 when it does not."""
    request.db.execute(text("SELECT 1"))
    return Response(json_body={"status": "ok"})
