"""A publication: what differs from what is public, and publishing it or going back to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.changes import (
    KEPT,
    PAGE_SIZE,
    ChangePage,
    ChangeQuery,
    find_changes,
    load_rows,
)
from cwz_web.campaigns.checks import MAX_MEASURED
from cwz_web.campaigns.decisions import Verdict
from cwz_web.campaigns.models import (
    ChangeKind,
    PublicationChange,
    PublicationState,
)
from cwz_web.campaigns.notifications import notify_published
from cwz_web.campaigns.progress import find_next_time
from cwz_web.campaigns.publications import NotPublishableError, approve, discard, publish, roll_back
from cwz_web.i18n import gettext, gettext_noop, ngettext, translate_labels
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import PublicationResource
from cwz_web.views.publication_head import (
    KIND_LABELS,
    STATE_BADGES,
    STATES,
    PublicationHead,
    Thumbnail,
    describe_head,
    design_names,
    load_campaign_of,
    publication_path,
    thumbnails,
    title_column,
)
from cwz_web.web.forms import Form, SubmittedForm, empty_form
from cwz_web.web.lists import Filter, ListControls, ListForm, keep_url, read_list_form
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.urls import after_position

MAX_TITLE = 90
DIFFERENCE = "difference"
KINDS = {
    "": gettext_noop("All changes"),
    ChangeKind.NEW: gettext_noop("New rows"),
    ChangeKind.CHANGED: gettext_noop("Changed images"),
    ChangeKind.REMOVED: gettext_noop("Removed rows"),
    KEPT: gettext_noop("Image kept"),
}
SORTS = {"": gettext_noop("In the order of keys"), DIFFERENCE: gettext_noop("Most changed first")}


class ChangesForm(ListForm):
    """Which changes are shown. `after` is a position, or a difference and a position."""

    search: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    kind: Literal["", "new", "changed", "removed", "kept"] = ""
    state: Annotated[str, Field(pattern="^(|ok|incomplete|failed|missing|kept|accept|former|original)$")] = ""
    design: Annotated[str, Field(pattern=r"^[0-9]{0,5}$")] = ""
    sort: Literal["", "difference"] = ""
    after: Annotated[str, Field(pattern=r"^([0-9]{1,9}(\.[0-9]{1,9})?)?$")] = ""  # type: ignore[assignment]


class ApprovalForm(Form):
    """What was reviewed: a decision in between makes it another state."""

    state: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass(frozen=True)
class ShownChange:
    """A change as the list shows it.

    Attributes:
        path: the path of its page.
        title: the cell that names the row.
        before: what it showed; None for nothing.
        after: the image that it has; None for nothing.
        designs: the names of its design before and after.
        badge: the class of the badge of its state.
        difference: the share of pixels that differ, in percent; None if it was not measured.
        may_decide: whether a decision about it is possible.
    """

    key: str
    path: str
    title: str
    kind: str
    before: Thumbnail | None
    after: Thumbnail | None
    designs: list[str]
    state: str
    badge: str
    findings: str
    difference: float | None
    may_decide: bool


@dataclass(frozen=True)
class ChangesPage:
    """What publications/changes.jinja2 and publications/_changes.jinja2 show.

    Attributes:
        next_query: the query of the next page; None after the last.
        loads_itself: whether the next page is requested without a click, since a search has not filled this one.
        searched: how many changes were searched, in words; "" without a search.
        designs: the names of the designs by number.
        columns: the columns that can be searched.
        error: what is wrong with a decision that was sent.
        measured_rows: of how many changed rows the difference is measured.
    """

    head: PublicationHead
    changes: list[ShownChange]
    query: ChangeQuery
    is_first_page: bool
    next_query: str | None
    loads_itself: bool
    searched: str
    designs: dict[str, str]
    columns: list[str]
    verdicts: list[tuple[str, str]]
    error: str
    measured_rows: int
    list: ListControls


@page_view(
    "publications/changes.jinja2",
    "publications/_changes.jinja2",
    context=PublicationResource,
    permission=Permission.VIEW,
)
def show_changes(context: PublicationResource, request: Request) -> ChangesPage:
    """Show a page of what differs; to htmx, only the changes."""
    return changes_page(context, request, empty_form())


def changes_page(context: PublicationResource, request: Request, form: SubmittedForm[Any]) -> ChangesPage:
    """Return the page of what differs, with the errors of a decision that was refused."""
    publication = context.row
    head, asked = describe_head(request, publication), read_list_form(ChangesForm, request)
    designs = {str(number): name for number, name in design_names(publication.rules).items()}
    columns = list(publication.columns)
    query = ChangeQuery(
        kind=asked.kind,
        state=asked.state,
        design=int(asked.design) if asked.design in designs else None,
        column=asked.column if asked.column in columns and asked.search else "",
        text=asked.search,
        by_difference=asked.sort == DIFFERENCE,
    )
    page = find_changes(request.db, head.campaign, publication, query, _read_after(asked.after))
    controls = ListControls(
        noun="rows",
        search=query.text,
        filters=(
            Filter("column", gettext("Column"), _column_choices(columns), query.column),
            Filter("kind", gettext("Change"), translate_labels(KINDS), query.kind),
            Filter("design", gettext("Design"), {"": gettext("All designs"), **designs}, asked.design),
            Filter("state", gettext("State"), translate_labels(STATES), query.state),
            Filter("sort", gettext("Order"), translate_labels(SORTS), asked.sort),
        ),
        placeholder=gettext("Search rows…"),
    )
    if not asked.after:
        keep_url(request, controls)
    scanned = after_position(request, "scanned") + page.scanned
    more = {"after": ".".join(map(str, page.next_after))} if page.next_after else {}
    return ChangesPage(
        head=head,
        changes=_shown_changes(request, head, page),
        list=controls,
        query=query,
        is_first_page=not asked.after,
        next_query=urlencode(controls.parameters | more | {"scanned": str(scanned)}) if more else None,
        loads_itself=bool(page.scanned) and len(page.changes) < PAGE_SIZE,
        searched=_describe_search(scanned) if page.scanned else "",
        designs=designs,
        columns=columns,
        verdicts=[(verdict.value, verdict.label) for verdict in Verdict],
        measured_rows=MAX_MEASURED,
        error=" ".join(f"{text}." for text in form.errors.values()),
    )


def _read_after(text: str) -> tuple[int, int]:
    difference, _, position = text.rpartition(".")
    return int(difference or 0), int(position or 0)


def _column_choices(columns: Iterable[str]) -> dict[str, str]:
    return {"": gettext("Key"), **{name: shorten(name, 30) for name in columns}}


def _describe_search(scanned: int) -> str:
    return ngettext("%(count)s row searched", "%(count)s rows searched", scanned)


def _shown_changes(request: Request, head: PublicationHead, page: ChangePage) -> list[ShownChange]:
    publication, changes = head.publication, page.changes
    rows = load_rows(request.db, head.campaign, publication.timeline, [change.key for change in changes])
    old = [change.key for change in changes if change.kind == ChangeKind.REMOVED]
    if old and head.base:
        rows = load_rows(request.db, head.campaign, head.base.timeline, old) | rows
    names = design_names(publication.rules)
    base_names = design_names(head.base.rules) if head.base else {}
    shown = [each for change in changes for each in _shown_ids(change)]
    thumbnail = thumbnails(request, head.campaign, shown, rows, publication.photo_column)
    title = title_column(publication)

    def describe(change: PublicationChange) -> ShownChange:
        designs = [base_names.get(change.base_design or 0, ""), names.get(change.design or 0, "")]
        row = rows.get(change.key)
        return ShownChange(
            key=change.key,
            path=f"{head.here}/change?{urlencode({'key': change.key})}",
            title=shorten((row.data.get(title) or "") if row else "", MAX_TITLE),
            kind=gettext(KIND_LABELS[ChangeKind(change.kind)]),
            before=thumbnail(change.key, change.base_images),
            after=thumbnail(change.key, change.images) if change.design is not None else None,
            designs=list(dict.fromkeys(name for name in designs if name)),
            state=gettext(STATES[change.state]) if change.design is not None and change.state != "ok" else "",
            badge=STATE_BADGES.get(change.state, ""),
            findings=ngettext("%(count)s finding", "%(count)s findings", change.findings) if change.findings else "",
            difference=None if change.difference is None else change.difference / 10,
            may_decide=head.may_decide and change.design is not None,
        )

    return [describe(change) for change in changes]


def _shown_ids(change: PublicationChange) -> list[list[Any] | None]:
    return [change.images, change.base_images]


@view_config(context=PublicationResource, name="approve", request_method="POST", permission=Permission.CAMPAIGN_APPROVE)
def approve_publication(context: PublicationResource, request: Request) -> Response:
    """Approve a publication, and publish it if it has all approvals and is not for later."""
    publication, campaign = context.row, load_campaign_of(request.db, context.row)
    if request.POST.get("state") != str(publication.timeline):
        raise HTTPUnprocessableEntity(
            gettext("This publication has changed since you opened its page. Review it again, then approve it")
        )
    account_id = request.user.account.id
    try:
        is_approved = approve(request.db, campaign, publication, account_id)
        is_due = publication.publish_at is None or publication.publish_at <= datetime.now(UTC)
        if is_approved and is_due:
            publish(request.db, campaign, publication, account_id)
            notify_published(request.db, campaign, publication)
    except NotPublishableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    campaign.next_at = find_next_time(request.db, campaign)
    request.audit("publication.approve", campaign.name, number=publication.number)
    if publication.state == PublicationState.PUBLISHED:
        text = gettext("Publication %(number)s is public", number=publication.number)
    elif is_approved:
        text = gettext("Publication %(number)s will be public at its time", number=publication.number)
    else:
        text = gettext("Approved. Another member has to approve it too")
    add_notice(request, text)
    return HTTPSeeOther(publication_path(request, publication))


@view_config(context=PublicationResource, name="discard", request_method="POST", permission=Permission.CAMPAIGN_APPROVE)
def discard_publication(context: PublicationResource, request: Request) -> Response:
    """Discard a publication that waits, so that what is public stays."""
    publication, campaign = context.row, load_campaign_of(request.db, context.row)
    try:
        discard(request.db, campaign, publication)
    except NotPublishableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    campaign.next_at = find_next_time(request.db, campaign)
    request.audit("publication.discard", campaign.name, number=publication.number)
    add_notice(request, gettext("Publication %(number)s is discarded", number=publication.number))
    return HTTPSeeOther(publication_path(request, publication))


@view_config(
    context=PublicationResource,
    name="roll-back",
    request_method="GET",
    renderer="publications/roll_back.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
)
def confirm_roll_back(context: PublicationResource, request: Request) -> dict[str, PublicationHead]:
    """Ask whether to go back to an earlier publication."""
    return {"head": describe_head(request, context.row, "roll-back")}


@view_config(
    context=PublicationResource, name="roll-back", request_method="POST", permission=Permission.CAMPAIGN_APPROVE
)
def roll_back_to(context: PublicationResource, request: Request) -> Response:
    """Make an earlier publication public again. Nothing is rendered, and following the feed is paused."""
    publication, campaign = context.row, load_campaign_of(request.db, context.row)
    if campaign.public_id == publication.id:
        raise HTTPUnprocessableEntity(gettext("This publication is public already"))
    try:
        roll_back(request.db, campaign, publication, request.user.account.id)
    except NotPublishableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    campaign.next_at = find_next_time(request.db, campaign)
    notify_published(request.db, campaign, publication)
    request.audit("publication.roll_back", campaign.name, number=publication.number)
    add_notice(request, gettext("Publication %(number)s is public again", number=publication.number))
    return HTTPSeeOther(publication_path(request, publication))
