"""The API page: examples, usage, API keys and signing keys."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from limits import RateLimitItem
from pydantic import BeforeValidator, Field, field_validator
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.api_keys import SCOPE_LABELS, KeyTerms, Scope, create_key, list_keys, revoke_key, rotate_key
from cwz_web.generation.models import ApiKey, Template
from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.generation.templates import find_template, list_templates
from cwz_web.generation.usage import month_of, next_month, usage_by_subject
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import KeyCollection, KeyResource
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rate_limits import RateLimiter, period_of
from cwz_web.web.request import Request
from cwz_web.workspaces.members import name_creators
from cwz_web.workspaces.models import Workspace

PAGE = "keys.jinja2"
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
            raise ValueError("Enter origins such as https://shop.example, separated by spaces")
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
    label: str
    is_checked: bool


@dataclass(frozen=True)
class KeyRow:
    """A row of the table of keys. `creator` is empty if unknown; `ended` says why the key is not valid."""

    id: UUID
    name: str
    prefix: str
    scopes: str
    creator: str
    usage: str
    request_limit: str
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    ended: Literal["revoked", "expired", ""]


@dataclass(frozen=True)
class ApiPage:
    """What keys.jinja2 shows. `new_key` is a key that was just created, shown this once.

    `signing_keys` are empty until the user has authenticated recently. `default_limit` is the limit of keys that
    have none of their own.
    """

    form: SubmittedForm[KeyForm]
    scopes: list[ScopeOption]
    keys: list[KeyRow]
    templates: list[Template]
    base_url: str
    example_feed: str
    example_template: str
    used: int
    limit: int | None
    resets_on: date
    signing_keys: dict[int, str]
    default_limit: str
    new_key: str | None = None


def _page(context: KeyCollection | KeyResource, request: Request, form: SubmittedForm[KeyForm]) -> ApiPage:
    workspace_id, services = request.workspace.workspace_id, request.services
    templates = list_templates(request.db, workspace_id)
    feeds = list_feeds(request.db, workspace_id, limit=1)
    workspace = request.db.get_one(Workspace, workspace_id)
    used = usage_by_subject(request.db, workspace_id)
    keys = list_keys(request.db, workspace_id)
    creators = name_creators(request.db, workspace_id, {key.created_by for key in keys if key.created_by})
    return ApiPage(
        form=form,
        scopes=[_scope_option(scope, form) for scope in Scope],
        keys=[_key_row(key, used.get(key.id, 0), creators, services.limiter) for key in keys],
        templates=templates,
        base_url=services.settings.url,
        example_feed=str(feeds[0].id) if feeds else "$FEED",
        example_template=templates[0].slug if templates else "my-template",
        used=used.get(workspace_id, 0),
        limit=services.quotas.of(workspace_id, request.workspace.plan_status).limit,
        resets_on=next_month(month_of()),
        signing_keys={
            number: services.signed_urls.key(workspace_id, number) if request.is_recently_authenticated else ""
            for number in valid_numbers(workspace)
        },
        default_limit=_limit_text(services.limiter.api_key_limit(None)),
    )


@view_config(context=KeyCollection, request_method="GET", renderer=PAGE, permission=Permission.KEY_MANAGE)
def api_page(context: KeyCollection, request: Request) -> ApiPage:
    """Show examples, usage, API keys and signing keys."""
    return _page(context, request, empty_form())


@form_view(
    KeyForm, _page, context=KeyCollection, renderer=PAGE, permission=Permission.KEY_MANAGE, requires_recent_auth=True
)
def add_key(context: KeyCollection, request: Request, form: KeyForm) -> ApiPage:
    """Create an API key, and show it this once."""
    workspace_id = request.workspace.workspace_id
    if not form.terms.scopes:
        raise FieldError("scopes", "Select at least one permission")
    if form.template and not find_template(request.db, workspace_id, str(form.template)):
        raise FieldError("template", "Select a template of this workspace")
    key, plain = create_key(request.db, workspace_id, form.name, form.terms, created_by=request.user.account_id)
    request.audit("key.create", key.name, prefix=key.prefix, scopes=key.scopes)
    return replace(_page(context, request, empty_form()), new_key=plain)


@view_config(
    context=KeyResource,
    name="rotate",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def rotate(context: KeyResource, request: Request) -> ApiPage:
    """Replace an API key, and show the new one this once; the old one remains valid for a day."""
    if context.row.revoked_at is not None:
        raise HTTPUnprocessableEntity("This API key has been revoked")
    key, plain = rotate_key(request.db, context.row, created_by=request.user.account_id)
    request.audit("key.rotate", key.name, prefix=context.row.prefix, replaced_by=key.prefix)
    return replace(_page(context, request, empty_form()), new_key=plain)


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
        raise HTTPUnprocessableEntity("Choose what to do with the signing keys")
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
    return HTTPSeeOther(request.path_in("keys"))


def _field_of(scope: Scope) -> str:
    return scope.replace(".", "_")


def _scope_option(scope: Scope, form: SubmittedForm[KeyForm]) -> ScopeOption:
    field = _field_of(scope)
    is_checked = field in form.typed if form.typed else scope is Scope.GENERATE
    return ScopeOption(field, SCOPE_LABELS[scope], is_checked)


def _key_row(key: ApiKey, used: int, creators: dict[UUID, str], limiter: RateLimiter) -> KeyRow:
    is_expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return KeyRow(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=", ".join(SCOPE_LABELS[Scope(scope)] for scope in key.scopes),
        creator=creators.get(key.created_by, "") if key.created_by else "",
        usage=f"{used:,} of {key.images_per_month:,}" if key.images_per_month else f"{used:,}",
        request_limit=_limit_text(limiter.api_key_limit(key.requests_per_minute)),
        last_used_at=key.last_used_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        ended="revoked" if key.revoked_at else "expired" if is_expired else "",
    )


def _limit_text(item: RateLimitItem) -> str:
    return f"{item.amount:,} per {period_of(item)}"
