"""The API page: how to call it, and its keys."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.browse import list_feeds
from cwz_web.generation.keys import SCOPE_WORDS, Scope, create_key, list_keys, revoke_key
from cwz_web.generation.templates import list_templates
from cwz_web.resources import KeyResource, Keys, Permission
from cwz_web.web.forms import Filled, Form, empty_form, read_form

PAGE = "keys.jinja2"


class KeyForm(Form):
    """What a key is for."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    generate: Literal["on", ""] = ""
    read: Literal["on", ""] = ""
    feeds_write: Literal["on", ""] = ""

    @property
    def scopes(self) -> list[Scope]:
        """What the key may do."""
        return [scope for scope in Scope if getattr(self, scope.replace(".", "_"))]


@view_config(context=Keys, request_method="GET", renderer=PAGE, permission=Permission.KEY_MANAGE)
def key_page(context: Keys, request: Request) -> dict[str, Any]:
    """Examples, and the workspace's keys."""
    return _page(request, empty_form())


@view_config(context=Keys, request_method="POST", renderer=PAGE, permission=Permission.KEY_MANAGE)
def key_form(context: Keys, request: Request) -> dict[str, Any]:
    """Make a key and show it, this once."""
    form = read_form(KeyForm, request.POST)
    if form.value is not None and not form.value.scopes:
        form = form.with_error("scopes", "Choose at least one thing that the key may do")
    if form.value is None:
        request.response.status = 422
        return _page(request, form)
    key, plain = create_key(request.db, request.workspace.workspace_id, form.value.name, scopes=form.value.scopes)
    request.audit("key.make", key.name, prefix=key.prefix, scopes=key.scopes)
    return _page(request, empty_form()) | {"fresh": plain}


@view_config(context=KeyResource, name="revoke", request_method="POST", permission=Permission.KEY_MANAGE)
def revoke(context: KeyResource, request: Request) -> Response:
    """Make a key useless."""
    revoke_key(request.db, context.row)
    request.audit("key.revoke", context.row.name, prefix=context.row.prefix)
    return HTTPSeeOther(request.path_in("keys"))


def _page(request: Request, form: Filled[KeyForm]) -> dict[str, Any]:
    templates = list_templates(request.db, request.workspace.workspace_id)
    feeds = list_feeds(request.db, request.workspace.workspace_id, limit=1)
    return {
        "form": form,
        "keys": list_keys(request.db, request.workspace.workspace_id),
        "fresh": None,
        "scopes": SCOPE_WORDS,
        "feed": feeds[0].id if feeds else None,
        "template": templates[0].slug if templates else "my-template",
        "base_url": request.services.settings.url,
    }
