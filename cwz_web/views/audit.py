"""The activity page: the audit log as sentences, its filters, its verification and its CSV export."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.api_keys import SCOPE_LABELS
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.notify.webhooks import EVENT_LABELS
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.views.members import initials
from cwz_web.web.downloads import csv_download
from cwz_web.web.lists import DateFilter, Filter, ListControls, ListForm, filter_labels, keep_url, read_list_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position
from cwz_web.workspaces.audit import (
    AREAS,
    AUDIT_LABELS,
    FORMER_LABELS,
    MAX_EXPORTED,
    AuditFilter,
    actions_of,
    export_rows,
    find_chain_break,
    find_entries,
    list_actors,
)
from cwz_web.workspaces.models import AuditEntry, Role

OTHER = "other"
# Ids and digests are in the export only.
HIDDEN = {"run", "template", "delivery", "digest", "user", "revision"}
DETAIL_LABELS = {
    "by": gettext_noop("Replaced by"),
    "client_id": gettext_noop("Client ID"),
    "columns": gettext_noop("Columns"),
    "copy_of": gettext_noop("Copy of"),
    "currency": gettext_noop("Currency"),
    "default_role": gettext_noop("Role of new members"),
    "events": gettext_noop("Events"),
    "expires": gettext_noop("Expires"),
    "file": gettext_noop("File"),
    "host": gettext_noop("Host"),
    "images": gettext_noop("Images"),
    "imported_from": gettext_noop("Imported from"),
    "is_required": gettext_noop("Required"),
    "layer": gettext_noop("Layer"),
    "locale": gettext_noop("Locale"),
    "max_removed_percent": gettext_noop("Maximum rows an import may remove (%)"),
    "name": gettext_noop("Name"),
    "number": gettext_noop("Import number"),
    "parameters": gettext_noop("Parameters"),
    "prefix": gettext_noop("Key begins with"),
    "previous_role": gettext_noop("Previous role"),
    "removed": gettext_noop("Rows removed"),
    "replaced_by": gettext_noop("New key begins with"),
    "role": gettext_noop("Role"),
    "rows": gettext_noop("Images"),
    "sample": gettext_noop("Sample"),
    "schedule": gettext_noop("Schedule"),
    "scopes": gettext_noop("Scopes"),
    "second_factor_required": gettext_noop("Two-factor authentication required"),
    "secrets_replaced": gettext_noop("Credentials replaced"),
    "shows": gettext_noop("Shows"),
    "storage": gettext_noop("Storage"),
    "templates": gettext_noop("Templates"),
    "time_zone": gettext_noop("Time zone"),
    "to": gettext_noop("Changed to"),
    "version": gettext_noop("Version"),
    "with_images": gettext_noop("Images included"),
    "works": gettext_noop("Test passed"),
}
# The details that are roles.
ROLES = ("role", "previous_role", "default_role")
# The labels of other values, by the detail.
VALUE_LABELS: dict[str, dict[str, str]] = {
    "events": {str(event): label for event, label in EVENT_LABELS.items()},
    "scopes": {str(scope): label for scope, label in SCOPE_LABELS.items()},
}
_placeholder = re.compile(r"\{(\w+)\}")


def _check_area(area: str) -> str:
    if area and area not in AREAS:
        raise ValueError(gettext("Choose an area"))
    return area


Day = Annotated[date | None, BeforeValidator(lambda value: value or None)]


class AuditListForm(ListForm):
    """Which entries are shown."""

    person: UUID | Literal["other", ""] = ""
    area: Annotated[str, AfterValidator(_check_area)] = ""
    since: Day = None
    until: Day = None


@dataclass(frozen=True)
class EntryRow:
    """An entry as the list shows it.

    Attributes:
        sentence: What the actor did, as texts; every second one is a name.
        link: The label and the path of what it is about, if there is a page.
    """

    number: int
    at: datetime
    actor: str
    email: str
    initials: str
    sentence: tuple[str, ...]
    details: dict[str, str]
    ip_address: str
    link: tuple[str, str] | None


@dataclass(frozen=True)
class AuditPage:
    """The view model of audit/show.jinja2 and audit/_entries.jinja2.

    Attributes:
        has_older: Whether older entries may match, although none of this page does.
        is_verified: Whether the user has verified the log.
        broken: The number of the first entry that breaks the chain, or None.
    """

    entries: list[EntryRow]
    has_older: bool
    is_verified: bool
    broken: int | None
    max_exported: int
    list: ListControls


@page_view(
    "audit/show.jinja2",
    "audit/_entries.jinja2",
    context=WorkspaceResource,
    name="audit",
    permission=Permission.AUDIT_VIEW,
)
def audit_page(context: WorkspaceResource, request: Request) -> AuditPage:
    """Show a page of the log, the newest entry first."""
    workspace_id, form = context.access.workspace_id, read_list_form(AuditListForm, request)
    before = after_position(request) or None
    page = find_entries(request.db, workspace_id, _filters(form), before)
    is_verified = "check" in request.GET
    controls = ListControls(
        noun="entries",
        search=form.search,
        filters=_list_filters(request, form),
        after=str(before or ""),
        next_after=page.before,
        placeholder=gettext("Search by person or name…"),
    )
    keep_url(request, controls)
    return AuditPage(
        entries=[entry_row(request, entry) for entry in page.entries],
        has_older=page.before is not None,
        is_verified=is_verified,
        broken=find_chain_break(request.db, workspace_id) if is_verified else None,
        max_exported=MAX_EXPORTED,
        list=controls,
    )


@view_config(context=WorkspaceResource, name="audit.csv", request_method="GET", permission=Permission.AUDIT_VIEW)
def audit_csv(context: WorkspaceResource, request: Request) -> Response:
    """Download the entries that match, of the newest ones, as CSV."""
    filters = _filters(read_list_form(AuditListForm, request))
    with request.services.slow_requests.slot(context.access.workspace_id):
        rows = export_rows(request.db, context.access.workspace_id, filters)
        return csv_download(f"{context.access.slug}-activity.csv", rows)


def _filters(form: AuditListForm) -> AuditFilter:
    return AuditFilter(
        search=form.search,
        actor_id=form.person if isinstance(form.person, UUID) else None,
        is_other=form.person == OTHER,
        actions=actions_of(form.area) if form.area else (),
        since=form.since,
        until=form.until,
    )


def _list_filters(request: Request, form: AuditListForm) -> tuple[Filter | DateFilter, ...]:
    actors = list_actors(request.db, request.workspace.workspace_id)
    names = sorted((_person(label)[0], str(account_id)) for account_id, label in actors.items())
    people = {
        "": gettext("All people"),
        **{value: name for name, value in names},
        OTHER: gettext("API keys and others"),
    }
    areas = {"": gettext("All areas"), **filter_labels(AREAS)}
    return (
        Filter("person", gettext("Person"), people, str(form.person)),
        Filter("area", gettext("Area"), areas, form.area),
        DateFilter("since", gettext("From"), str(form.since or "")),
        DateFilter("until", gettext("Until"), str(form.until or "")),
    )


def entry_row(request: Request, entry: AuditEntry) -> EntryRow:
    """Return an entry as lists show it."""
    name, email = _person(entry.actor)
    details = {key: _format_value(request, key, value) for key, value in entry.details.items() if key not in HIDDEN}
    sentence = make_sentence(entry.action, {**details, "target": entry.target})
    shown = {_detail_label(key): value for key, value in details.items()}
    return EntryRow(
        number=entry.number,
        at=entry.at,
        actor=name,
        email=email,
        initials=initials(name),
        sentence=sentence,
        details=shown if entry.target in sentence else {gettext("Name"): entry.target, **shown},
        ip_address=entry.ip_address,
        link=_link(request, entry.details),
    )


def _detail_label(key: str) -> str:
    return gettext(DETAIL_LABELS[key]) if key in DETAIL_LABELS else key.replace("_", " ").capitalize()


def _person(actor: str) -> tuple[str, str]:
    """Return the name and the email address of an actor: `Ada Example <ada@example.org>`."""
    name, _, email = actor.removesuffix(">").rpartition(" <")
    return (name, email) if name and actor.endswith(">") else (actor, "")


def make_sentence(action: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return what an actor did, as texts; every second one is a name.

    An entry of an earlier release can lack a value: its sentence ends before it.
    """
    label = AUDIT_LABELS.get(action) or FORMER_LABELS.get(action)
    texts = _placeholder.split(gettext(label) if label else action.replace(".", ": "))
    for position in range(1, len(texts), 2):
        if texts[position] not in values:
            return (*texts[: position - 1], texts[position - 1].rsplit(" ", 2)[0])
        texts[position] = values[texts[position]]
    return tuple(texts)


def _link(request: Request, details: Mapping[str, Any]) -> tuple[str, str] | None:
    for key, label in (("run", gettext("View run")), ("template", gettext("View template"))):
        if isinstance(details.get(key), str):
            return label, request.path_in(f"{key}s", details[key])
    return None


def _format_value(request: Request, key: str, value: Any) -> str:
    """Return a JSON value of an entry as text."""
    if isinstance(value, list):
        return ", ".join(_format_value(request, key, item) for item in value) or gettext("None")
    if value is None or isinstance(value, bool):
        return {None: gettext("None"), True: gettext("Yes"), False: gettext("No")}[value]
    if key == "provider":
        provider = request.services.providers.get(value)
        return provider.label if provider else str(value)
    if key in ROLES and value in set(Role):
        return Role(value).label
    labels = VALUE_LABELS.get(key, {})
    return gettext(labels[value]) if value in labels else str(value)
