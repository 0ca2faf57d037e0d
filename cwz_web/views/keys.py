"""API keys and signing keys."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from limits import RateLimitItem
from pydantic import BeforeValidator, Field, field_validator
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.api_keys import SCOPE_LABELS, KeyTerms, Scope, create_key, revoke_key, rotate_key
from cwz_web.generation.key_list import KEY_SORTS, KEY_STATES, find_keys
from cwz_web.generation.models import ApiKey
from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.generation.templates import find_template, list_template_names
from cwz_web.generation.usage import usage_by_subject
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import KeyCollection, KeyResource
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.lists import (
    Filter,
    ListControls,
    ListForm,
    choose_sort,
    filter_labels,
    keep_url,
    list_path,
    read_list_form,
    sent_place,
)
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view, template_values
from cwz_web.web.request import Request
from cwz_web.workspaces.members import name_creators
from cwz_web.workspaces.models import Workspace

CREATED = "keys/created.jinja2"
EmptyIsNone = BeforeValidator(lambda typed: typed or None)
_origin = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?")


class SigningForm(Form):
    """Whether to add a signing key, or to retire the older ones."""

    do: Literal["rotate", "retire"]


class KeyForm(Form):
    """A new key: its name, scopes and limits; an empty limit is none. `days` is when it expires."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    generate: Literal["on", ""] = ""
    read: Literal["on", ""] = ""
    feeds_write: Literal["on", ""] = ""
    images_write: Literal["on", ""] = ""
    uploads_write: Literal["on", ""] = ""
    brand_write: Literal["on", ""] = ""
    templates_write: Literal["on", ""] = ""
    campaigns_write: Literal["on", ""] = ""
    layers_override: Literal["on", ""] = ""
    admin: Literal["on", ""] = ""
    template: Annotated[UUID | None, EmptyIsNone] = None
    origins: Annotated[str, Field(max_length=1000)] = ""
    requests_per_minute: Annotated[Annotated[int, Field(ge=1, le=60_000)] | None, EmptyIsNone] = None
    images_per_month: Annotated[Annotated[int, Field(ge=1, le=1_000_000_000)] | None, EmptyIsNone] = None
    days: Annotated[Annotated[int, Field(ge=1, le=3650)] | None, EmptyIsNone] = None

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        if any(not _origin.fullmatch(origin) for origin in text.split()):
            raise ValueError(gettext("Enter origins such as https://shop.example, separated by spaces"))
        return text

    @property
    def terms(self) -> KeyTerms:
        """The scopes and limits of the key."""
        return KeyTerms(
            scopes=tuple(scope for scope in Scope if getattr(self, _field_of(scope))),
            templates=(str(self.template),) if self.template else (),
            origins=tuple(self.origins.split()),
            requests_per_minute=self.requests_per_minute,
            images_per_month=self.images_per_month,
            expires_at=datetime.now(UTC) + timedelta(days=self.days) if self.days else None,
        )


@dataclass(frozen=True)
class ScopeOption:
    """A checkbox of the form."""

    field: str
    name: str
    label: str
    is_checked: bool


class KeyListForm(ListForm):
    """Which keys are shown."""

    state: Literal["", "active", "expired", "revoked"] = ""


@dataclass(frozen=True)
class KeyRow:
    """A row of the table of keys.

    Attributes:
        creator: Empty if unknown.
        used: Its images of this month.
        quota: Its images per month; None for no limit of its own.
        limits: What it is restricted to, in words.
        state: Its state in words; `badge` is the class of the badge.
        is_valid: Whether it can be rotated and revoked.
    """

    key: ApiKey
    creator: str
    used: int
    quota: int | None
    limits: tuple[str, ...]
    state: str
    badge: str
    is_valid: bool


@dataclass(frozen=True)
class KeyListPage:
    """What keys/list.jinja2 and keys/_list.jinja2 show.

    `signing_keys` are empty until the user has authenticated recently.
    """

    keys: list[KeyRow]
    list: ListControls
    signing_keys: dict[int, str]


@dataclass(frozen=True)
class NewKeyPage:
    """What keys/new.jinja2 shows. `default_limit` is the request limit of keys that have none of their own."""

    form: SubmittedForm[KeyForm]
    scopes: list[ScopeOption]
    templates: dict[str, str]
    default_limit: str


@dataclass(frozen=True)
class CreatedKeyPage:
    """What keys/created.jinja2 shows: a new key, this once. `replaced` is the prefix of the key that it replaces."""

    name: str
    plain: str
    replaced: str = ""


@page_view("keys/list.jinja2", "keys/_list.jinja2", context=KeyCollection, permission=Permission.KEY_MANAGE)
def list_keys_page(context: KeyCollection, request: Request) -> KeyListPage:
    """Show a page of the API keys, of all or of those that match the filters, and the signing keys."""
    db, workspace_id, services = request.db, request.workspace.workspace_id, request.services
    form = read_list_form(KeyListForm, request)
    sort = choose_sort(KEY_SORTS, form.sort)
    page = find_keys(db, workspace_id, search=form.search, state=form.state, sort=sort, after=form.after or None)
    states = filter_labels(KEY_STATES)
    controls = ListControls(
        noun="keys",
        search=form.search,
        filters=(Filter("state", gettext("State"), states, form.state),),
        sorts=KEY_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by name or prefix…"),
    )
    keep_url(request, controls)
    workspace = db.get_one(Workspace, workspace_id)
    return KeyListPage(
        keys=_key_rows(request, page.rows),
        list=controls,
        signing_keys={
            number: services.signed_urls.key(workspace_id, number) if request.is_recently_authenticated else ""
            for number in valid_numbers(workspace)
        },
    )


def _new_page(context: KeyCollection, request: Request, form: SubmittedForm[KeyForm]) -> NewKeyPage:
    return NewKeyPage(
        form=form,
        scopes=[_scope_option(scope, form) for scope in Scope],
        templates=list_template_names(request.db, request.workspace.workspace_id),
        default_limit=_limit_text(request.services.limiter.api_key_limit(None)),
    )


@view_config(
    context=KeyCollection,
    name="new",
    request_method="GET",
    renderer="keys/new.jinja2",
    permission=Permission.KEY_MANAGE,
)
def new_key(context: KeyCollection, request: Request) -> NewKeyPage:
    """Show the form of a new API key."""
    return _new_page(context, request, empty_form())


@form_view(
    KeyForm,
    _new_page,
    context=KeyCollection,
    renderer="keys/new.jinja2",
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def add_key(context: KeyCollection, request: Request, form: KeyForm) -> Response:
    """Create an API key, and show it this once."""
    workspace_id = request.workspace.workspace_id
    if not form.terms.scopes:
        raise FieldError("scopes", gettext("Select at least one permission"))
    if form.template and not find_template(request.db, workspace_id, str(form.template)):
        raise FieldError("template", gettext("Select a template of this workspace"))
    key, plain = create_key(request.db, workspace_id, form.name, form.terms, created_by=request.user.account_id)
    request.audit("key.create", key.name, prefix=key.prefix, scopes=key.scopes)
    page = CreatedKeyPage(key.name, plain)
    return render_to_response(CREATED, template_values(page), request=request)


@view_config(
    context=KeyResource,
    name="rotate",
    request_method="POST",
    renderer=CREATED,
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def rotate(context: KeyResource, request: Request) -> CreatedKeyPage:
    """Replace an API key, and show the new one this once; the old one remains valid for a day."""
    if context.row.revoked_at is not None:
        raise HTTPUnprocessableEntity(gettext("This API key has been revoked"))
    key, plain = rotate_key(request.db, context.row, created_by=request.user.account_id)
    request.audit("key.rotate", key.name, prefix=context.row.prefix, replaced_by=key.prefix)
    return CreatedKeyPage(key.name, plain, replaced=context.row.prefix)


@view_config(
    context=KeyCollection,
    name="signing",
    request_method="POST",
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def change_signing_keys(context: KeyCollection, request: Request) -> Response:
    """Add a signing key, or retire the older ones. The form is a single button, so it shows no messages."""
    form = read_form(SigningForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Choose what to do with the signing keys"))
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id, with_for_update=True)
    if form.value.do == "rotate":
        workspace.signing_key_number += 1
    else:
        workspace.oldest_signing_key_number = workspace.signing_key_number
    request.audit(f"signing.{form.value.do}", f"signing key {workspace.signing_key_number}")
    return HTTPSeeOther(f"{request.path_in('keys')}#signing")


@view_config(
    context=KeyResource,
    name="revoke",
    request_method="POST",
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def revoke(context: KeyResource, request: Request) -> Response:
    """Revoke an API key."""
    revoke_key(request.db, context.row)
    request.audit("key.revoke", context.row.name, prefix=context.row.prefix)
    add_notice(request, gettext("Revoked API key “%(name)s”.", name=context.row.name))
    return HTTPSeeOther(list_path(request, "keys", sent_place(request) or ""))


def _field_of(scope: Scope) -> str:
    return scope.replace(".", "_")


def _scope_option(scope: Scope, form: SubmittedForm[KeyForm]) -> ScopeOption:
    field = _field_of(scope)
    is_checked = field in form.typed if form.typed else scope is Scope.GENERATE
    return ScopeOption(field, scope, gettext(SCOPE_LABELS[scope]), is_checked)


def _key_rows(request: Request, keys: list[ApiKey]) -> list[KeyRow]:
    db, workspace_id, limiter = request.db, request.workspace.workspace_id, request.services.limiter
    used = usage_by_subject(db, workspace_id)
    creators = name_creators(db, workspace_id, {key.created_by for key in keys if key.created_by})
    templates = list_template_names(db, workspace_id) if any(key.templates for key in keys) else {}
    rows = []
    for key in keys:
        state, badge = _state_of(key)
        limits = [_limit_text(limiter.api_key_limit(key.requests_per_minute))]
        names = [templates.get(template_id) for template_id in key.templates]
        limits += [gettext("only %(name)s", name=name) if name else gettext("only one template") for name in names]
        limits += [gettext("only %(name)s", name=origin) for origin in key.origins]
        rows.append(
            KeyRow(
                key=key,
                creator=creators.get(key.created_by, "") if key.created_by else "",
                used=used.get(key.id, 0),
                quota=key.images_per_month,
                limits=tuple(limits),
                state=state,
                badge=badge,
                is_valid=badge == "success",
            )
        )
    return rows


def _state_of(key: ApiKey) -> tuple[str, str]:
    """Return the state of a key in words, and the class of its badge."""
    if key.revoked_at is not None:
        return gettext("Revoked"), "error"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return gettext("Expired"), ""
    return gettext("Active"), "success"


def _limit_text(item: RateLimitItem) -> str:
    amount, count = number(item.amount), item.multiples
    match item.GRANULARITY.name:
        case "second":
            return ngettext("%(amount)s per second", "%(amount)s per %(count)s seconds", count, amount=amount)
        case "minute":
            return ngettext("%(amount)s per minute", "%(amount)s per %(count)s minutes", count, amount=amount)
        case "hour":
            return ngettext("%(amount)s per hour", "%(amount)s per %(count)s hours", count, amount=amount)
        case "day":
            return ngettext("%(amount)s per day", "%(amount)s per %(count)s days", count, amount=amount)
        case "month":
            return ngettext("%(amount)s per month", "%(amount)s per %(count)s months", count, amount=amount)
    return ngettext("%(amount)s per year", "%(amount)s per %(count)s years", count, amount=amount)
