"""The API page: how to call it, and its keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, field_validator
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.api_keys import SCOPE_LABELS, KeyTerms, Scope, create_key, list_keys, revoke_key, rotate_key
from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.generation.templates import find_template, list_templates
from cwz_web.generation.usage import month_of, next_month, usage_by_subject
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import KeyCollection, KeyResource
from cwz_web.web.forms import Filled, Form, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace

PAGE = "keys.jinja2"
EmptyIsNone = BeforeValidator(lambda typed: typed or None)
_origin = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?")


class SigningForm(Form):
    """Begin with another signing key, or refuse what older ones have signed."""

    do: Literal["rotate", "retire"]


class KeyForm(Form):
    """What a key is for, and what bounds it. `days` after which it ends; empty fields bound nothing."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    generate: Literal["on", ""] = ""
    read: Literal["on", ""] = ""
    feeds_write: Literal["on", ""] = ""
    admin: Literal["on", ""] = ""
    template: Annotated[UUID | None, EmptyIsNone] = None
    origins: Annotated[str, Field(max_length=1000)] = ""
    requests_per_minute: Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | None, EmptyIsNone] = None
    images_per_month: Annotated[Annotated[int, Field(ge=1, le=1_000_000_000)] | None, EmptyIsNone] = None
    days: Annotated[Annotated[int, Field(ge=1, le=3650)] | None, EmptyIsNone] = None

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        if any(not _origin.fullmatch(word) for word in text.split()):
            raise ValueError("Write origins as in https://shop.example, with a space between two")
        return text

    @property
    def terms(self) -> KeyTerms:
        """What the key may do."""
        return KeyTerms(
            scopes=tuple(scope for scope in Scope if getattr(self, scope.replace(".", "_"))),
            templates=(str(self.template),) if self.template else (),
            origins=tuple(self.origins.split()),
            requests_per_minute=self.requests_per_minute,
            images_per_month=self.images_per_month,
            expires_at=datetime.now(UTC) + timedelta(days=self.days) if self.days else None,
        )


@view_config(context=KeyCollection, request_method="GET", renderer=PAGE, permission=Permission.KEY_MANAGE)
def key_page(context: KeyCollection, request: Request) -> dict[str, Any]:
    """Examples, and the workspace's keys."""
    return _page(request, empty_form())


@view_config(context=KeyCollection, request_method="POST", renderer=PAGE, permission=Permission.KEY_MANAGE)
def key_form(context: KeyCollection, request: Request) -> dict[str, Any]:
    """Make a key and show it, this once."""
    form = read_form(KeyForm, request.POST)
    workspace_id = request.workspace.workspace_id
    if form.value is not None and not form.value.terms.scopes:
        form = form.with_error("scopes", "Choose at least one thing that the key may do")
    if (
        form.value is not None
        and form.value.template
        and not find_template(request.db, workspace_id, str(form.value.template))
    ):
        form = form.with_error("template", "Choose one of the workspace's templates")
    if form.value is None:
        request.response.status = 422
        return _page(request, form)
    key, plain = create_key(request.db, workspace_id, form.value.name, form.value.terms)
    request.audit("key.make", key.name, prefix=key.prefix, scopes=key.scopes)
    return _page(request, empty_form()) | {"fresh": plain}


@view_config(context=KeyResource, name="rotate", request_method="POST", renderer=PAGE, permission=Permission.KEY_MANAGE)
def rotate(context: KeyResource, request: Request) -> dict[str, Any]:
    """Make another key with the same terms and show it; the old one ends a day later."""
    if context.row.revoked_at is not None:
        raise HTTPUnprocessableEntity("This key was revoked")
    key, plain = rotate_key(request.db, context.row)
    request.audit("key.rotate", key.name, prefix=context.row.prefix, replaced_by=key.prefix)
    return _page(request, empty_form()) | {"fresh": plain}


@view_config(context=KeyCollection, name="signing", request_method="POST", permission=Permission.KEY_MANAGE)
def signing_form(context: KeyCollection, request: Request) -> Response:
    """Begin with another signing key, or end the older ones."""
    form = read_form(SigningForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose what to do with the signing keys")
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id, with_for_update=True)
    if form.value.do == "rotate":
        workspace.signing_number += 1
    else:
        workspace.signing_oldest = workspace.signing_number
    request.audit(f"signing.{form.value.do}", f"signing key {workspace.signing_number}")
    return HTTPSeeOther(f"{request.path_in('keys')}#signing")


@view_config(context=KeyResource, name="revoke", request_method="POST", permission=Permission.KEY_MANAGE)
def revoke(context: KeyResource, request: Request) -> Response:
    """Make a key useless."""
    revoke_key(request.db, context.row)
    request.audit("key.revoke", context.row.name, prefix=context.row.prefix)
    return HTTPSeeOther(request.path_in("keys"))


def _page(request: Request, form: Filled[KeyForm]) -> dict[str, Any]:
    workspace_id, services = request.workspace.workspace_id, request.services
    templates = list_templates(request.db, workspace_id)
    feeds = list_feeds(request.db, workspace_id, limit=1)
    workspace = request.db.get_one(Workspace, workspace_id)
    used = usage_by_subject(request.db, workspace_id)
    return {
        "form": form,
        "keys": list_keys(request.db, workspace_id),
        "now": datetime.now(UTC),
        "fresh": None,
        "scopes": SCOPE_LABELS,
        "feed": feeds[0].id if feeds else None,
        "template": templates[0].slug if templates else "my-template",
        "templates": templates,
        "base_url": services.settings.url,
        "used": used,
        "used_in_all": used.get(workspace_id, 0),
        "cap": services.quotas.of(workspace_id, request.workspace.plan_status).cap,
        "resets": next_month(month_of()),
        "signing": {number: services.signed_urls.key(workspace_id, number) for number in valid_numbers(workspace)},
    }
