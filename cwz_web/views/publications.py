"""A publication: what differs from what is public, decisions about rows, and publishing it or going back to it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.campaigns.changes import (
    KEPT,
    PAGE_SIZE,
    ChangePage,
    ChangeQuery,
    find_changes,
    load_images,
    load_rows,
)
from cwz_web.campaigns.checks import MAX_MEASURED
from cwz_web.campaigns.decisions import MAX_COMMENT, Decision, Verdict, decide, read_decision
from cwz_web.campaigns.models import (
    Campaign,
    ChangeKind,
    Publication,
    PublicationChange,
    PublicationRow,
    PublicationState,
)
from cwz_web.campaigns.notifications import notify_published
from cwz_web.campaigns.policy import PublishPolicy, Reason
from cwz_web.campaigns.progress import enqueue_advance, find_next_time
from cwz_web.campaigns.publications import WAITING, NotPublishableError, approve, discard, publish, roll_back
from cwz_web.campaigns.rules import RULES
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items_by_keys
from cwz_web.generation.image_service import UPLOAD
from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, gettext_noop, ngettext, translate_labels
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import PublicationResource
from cwz_web.web.forms import Form, SubmittedForm, empty_form, form_view
from cwz_web.web.lists import Filter, ListControls, ListForm, keep_url, read_list_form
from cwz_web.web.notices import MAX_FIELD, add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.urls import after_position
from cwz_web.workspaces.members import name_creators

# A decision about selected rows names at most so many.
MAX_KEYS = 1000
MAX_TITLE = 90
DIFFERENCE = "difference"
KINDS = {
    "": gettext_noop("All changes"),
    ChangeKind.NEW: gettext_noop("New rows"),
    ChangeKind.CHANGED: gettext_noop("Changed images"),
    ChangeKind.REMOVED: gettext_noop("Removed rows"),
    KEPT: gettext_noop("Image kept"),
}
KIND_LABELS = {
    ChangeKind.NEW: gettext_noop("New"),
    ChangeKind.CHANGED: gettext_noop("Changed"),
    ChangeKind.REMOVED: gettext_noop("Removed"),
}
STATES = {
    "": gettext_noop("Any state"),
    "ok": gettext_noop("Complete"),
    "incomplete": gettext_noop("Incomplete"),
    "failed": gettext_noop("Failed"),
    "missing": gettext_noop("Without image"),
    "kept": gettext_noop("Public image kept"),
    "accept": gettext_noop("Decided: accepted"),
    "former": gettext_noop("Decided: public image"),
    "original": gettext_noop("Decided: original photo"),
}
STATE_BADGES = {"incomplete": "warning", "failed": "error", "missing": "error", "kept": "warning", "accept": "success"}
PUBLICATION_BADGES = {
    PublicationState.DECIDING: "info",
    PublicationState.HELD: "warning",
    PublicationState.SCHEDULED: "info",
    PublicationState.PUBLISHED: "success",
}
SORTS = {"": gettext_noop("In the order of keys"), DIFFERENCE: gettext_noop("Most changed first")}
TITLE_NAMES = ("title", "name", "titel", "titre", "bezeichnung", "nom", "product", "produkt", "produit")


class ChangesForm(ListForm):
    """Which changes are shown. `after` is a position, or a difference and a position."""

    search: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    kind: Literal["", "new", "changed", "removed", "kept"] = ""
    state: Annotated[str, Field(pattern="^(|ok|incomplete|failed|missing|kept|accept|former|original)$")] = ""
    design: Annotated[str, Field(pattern=r"^[0-9]{0,5}$")] = ""
    sort: Literal["", "difference"] = ""
    after: Annotated[str, Field(pattern=r"^([0-9]{1,9}(\.[0-9]{1,9})?)?$")] = ""  # type: ignore[assignment]


class DecisionForm(Form):
    """A decision: about the rows of the keys that the form repeats, or about all rows of a design or with a text."""

    model_config = ConfigDict(extra="ignore")

    verdict: Verdict
    rows: Literal["selected", "matching"] = "selected"
    design: Annotated[str, Field(pattern=r"^[0-9]{0,5}$")] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    value: Annotated[str, Field(max_length=400)] = ""
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""


class ApprovalForm(Form):
    """What was reviewed: a decision in between makes it another state."""

    state: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass(frozen=True)
class Thumbnail:
    """The small image of a row: its path and its size in pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Count:
    """A number of the head, and the path of the rows that it counts; "" if no page lists them."""

    label: str
    number: int
    path: str = ""


@dataclass(frozen=True)
class DecisionStatus:
    """Values of publications/_decision.jinja2: a decision that is or was left to a job.

    Attributes:
        here: the path of the publication.
        is_waiting: whether it is being applied.
        verdict: what is decided, in words.
        about: which rows it is about, in words.
        done, total: how many rows are decided, and how many there are; 0 before that is known.
        percent: the same in percent.
        rows: how many rows it was about; None if it was not applied.
        undo: the fields of the form that takes it back; none if that is not possible.
    """

    here: str
    is_waiting: bool
    verdict: str
    about: str
    done: int
    total: int
    percent: int
    rows: int | None
    undo: dict[str, str]


@dataclass(frozen=True)
class PublicationHead:
    """What the pages of a publication share.

    Attributes:
        here: the path of the publication.
        title: its name.
        badge: the class of its state's badge.
        is_public: whether readers see it now.
        base: the publication that it is compared with.
        base_path: the path of that.
        state_label: its state in words.
        reasons: why it needs review.
        approvals: the names of those who have approved it.
        needed: how many have to.
        has_approved: whether the user is one of them.
        may_approve: whether the user can approve it, and has not.
        approve_label: what approving it does.
        may_decide: whether the user can decide about its rows.
        may_discard: the same for discarding it.
        may_roll_back: the same for going back to it.
        decision: the newest decision that was left to a job, if it is being applied or the publication still waits.
        tabs: label, path and whether it is the current page.
    """

    campaign: Campaign
    publication: Publication
    here: str
    title: str
    badge: str
    is_public: bool
    base: Publication | None
    base_path: str
    state_label: str
    reasons: list[str]
    approvals: list[str]
    needed: int
    has_approved: bool
    may_approve: bool
    approve_label: str
    may_decide: bool
    may_discard: bool
    may_roll_back: bool
    counts: list[Count]
    decision: DecisionStatus | None
    tabs: list[tuple[str, str, bool]]


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


def design_names(rules: Iterable[Any]) -> dict[int, str]:
    """Return the names of designs by their numbers: those of their rules, with the label if a rule has several."""
    return {
        design.number: f"{rule.name}, {design.label}" if design.label else rule.name
        for rule in RULES.validate_python(list(rules))
        for design in rule.designs
    }


def title_column(publication: Publication) -> str:
    """Return the column whose cells name the rows; "" without columns."""
    names = {name.casefold(): name for name in reversed(publication.columns)}
    found = next((names[name] for name in TITLE_NAMES if name in names), None)
    return found or next(iter(publication.columns[1:] or publication.columns), "")


def load_campaign_of(db: Session, publication: Publication) -> Campaign:
    """Return the campaign of a publication."""
    return db.get_one(Campaign, (publication.workspace_id, publication.campaign_id))


def describe_head(request: Request, publication: Publication, page: str = "") -> PublicationHead:
    """Return what the pages of a publication share; `page` is the name of the one that is shown."""
    campaign = load_campaign_of(request.db, publication)
    here = publication_path(request, publication)
    policy = PublishPolicy.model_validate(campaign.policy)
    accounts = [UUID(each) for each in publication.approvals]
    names = name_creators(request.db, publication.workspace_id, accounts) if accounts else {}
    is_public = campaign.public_id == publication.id
    can_approve = request.has_permission(Permission.CAMPAIGN_APPROVE)
    waits = publication.state in WAITING
    base = request.db.get(Publication, (publication.workspace_id, publication.base_id)) if publication.base_id else None
    tabs = {"": gettext("Difference"), "sheet": gettext("All rows"), "check": gettext("Check")}
    return PublicationHead(
        campaign=campaign,
        publication=publication,
        here=here,
        title=gettext("Publication %(number)s", number=publication.number),
        badge=PUBLICATION_BADGES.get(PublicationState(publication.state), ""),
        is_public=is_public,
        base=base,
        base_path=publication_path(request, base) if base else "",
        state_label=gettext("Public now") if is_public else PublicationState(publication.state).label,
        reasons=[Reason.model_validate(each).describe() for each in publication.reasons] if waits else [],
        approvals=[names.get(each, gettext("a former member")) for each in accounts],
        needed=policy.approvals,
        has_approved=request.user.account.id in accounts,
        may_approve=can_approve
        and publication.state == PublicationState.HELD
        and request.user.account.id not in accounts,
        approve_label=_approve_label(publication, policy.approvals - len(accounts)),
        may_decide=can_approve and publication.state in (PublicationState.HELD, PublicationState.SCHEDULED),
        may_discard=can_approve and waits,
        may_roll_back=can_approve
        and publication.state == PublicationState.PUBLISHED
        and publication.published_at is not None
        and not is_public,
        counts=_counts(publication, here),
        decision=_decision_status(request, publication) if waits else None,
        tabs=[(label, f"{here}/{name}".rstrip("/"), name == page) for name, label in tabs.items()],
    )


def _decision_status(request: Request, publication: Publication) -> DecisionStatus | None:
    decision = read_decision(publication)
    is_waiting = publication.state == PublicationState.DECIDING
    if decision is None or not (is_waiting or decision.rows is not None):
        return None
    names = design_names(publication.rules)
    about = [names[number] for number in decision.designs or () if number in names]
    if decision.value:
        about.append(gettext("“%(text)s” in %(column)s", text=decision.value, column=decision.column))
    can_undo = bool(
        not is_waiting
        and decision.rows
        and decision.verdict != Verdict.RESET
        and (decision.designs or decision.value)
        and len(decision.designs or ()) <= 1
        and publication.state in (PublicationState.HELD, PublicationState.SCHEDULED)
        and request.has_permission(Permission.CAMPAIGN_APPROVE)
    )
    undo = {
        "verdict": Verdict.RESET.value,
        "rows": "matching",
        "design": "".join(map(str, (decision.designs or ())[:1])),
        "column": decision.column,
        "value": decision.value,
    }
    return DecisionStatus(
        here=publication_path(request, publication),
        is_waiting=is_waiting,
        verdict=decision.verdict.label,
        about=", ".join(about) or gettext("All changes"),
        done=decision.done,
        total=decision.total,
        percent=100 * decision.done // decision.total if decision.total else 0,
        rows=decision.rows,
        undo=undo if can_undo else {},
    )


def _approve_label(publication: Publication, missing: int) -> str:
    is_due = publication.publish_at is None or publication.publish_at <= datetime.now(UTC)
    return gettext("Approve and publish") if missing <= 1 and is_due else gettext("Approve")


def publication_path(request: Request, publication: Publication) -> str:
    """Return the path of a publication."""
    return request.path_in("campaigns", publication.campaign_id, "publications", publication.id)


def _counts(publication: Publication, here: str) -> list[Count]:
    kinds = (
        (gettext("New"), publication.new, "new"),
        (gettext("Changed"), publication.changed, "changed"),
        (gettext("Removed"), publication.removed, "removed"),
    )
    return [
        Count(gettext("Rows"), publication.rows, f"{here}/sheet"),
        *(Count(label, count, f"{here}?kind={kind}" if count else "") for label, count, kind in kinds),
        Count(gettext("Unchanged"), publication.unchanged),
        Count(gettext("Other cells"), publication.updated),
        Count(gettext("Image kept"), publication.kept, f"{here}?kind={KEPT}" if publication.kept else ""),
        Count(gettext("Without image"), publication.missing, f"{here}/sheet?faulty=1" if publication.missing else ""),
        Count(gettext("Findings"), publication.findings, f"{here}/check"),
    ]


@page_view(
    "publications/changes.jinja2",
    "publications/_changes.jinja2",
    context=PublicationResource,
    permission=Permission.VIEW,
)
def show_changes(context: PublicationResource, request: Request) -> ChangesPage:
    """Show a page of what differs; to htmx, only the changes."""
    return _changes_page(context, request, empty_form())


def _changes_page(context: PublicationResource, request: Request, form: SubmittedForm[Any]) -> ChangesPage:
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


def first_image_id(images: list[Any] | None) -> UUID | None:
    """Return the first image of a row; None for the original photo, and without one."""
    return UUID(images[0]) if images and images[0] else None


def thumbnails(
    request: Request,
    campaign: Campaign,
    shown: Iterable[list[Any] | None],
    rows: Mapping[str, PublicationRow],
    photo_column: str = "",
) -> Callable[[str, list[Any] | None], Thumbnail | None]:
    """Return a function from the key of a row and what it shows to a thumbnail, with two queries for all of them.

    Args:
        request: the request.
        campaign: the campaign.
        shown: what the rows show: lists of ids of images, `[]` for the original photo.
        rows: the rows by key.
        photo_column: the column of the original photos; that of the campaign by default.
    """
    shown = list(shown)
    ids = {image_id for images in shown if (image_id := first_image_id(images))}
    images: dict[UUID, Image] = load_images(request.db, campaign.workspace_id, ids) if ids else {}
    photos = (
        _photo_paths(request, campaign, rows, photo_column or campaign.photo_column)
        if any(each == [] for each in shown)
        else {}
    )

    def find(key: str, own: list[Any] | None) -> Thumbnail | None:
        if own == []:
            return Thumbnail(photos[key], 80, 80) if key in photos else None
        image_id = first_image_id(own)
        image = images.get(image_id) if image_id else None
        return Thumbnail(request.services.signed_urls.thumbnail(image), image.width, image.height) if image else None

    return find


def _photo_paths(
    request: Request, campaign: Campaign, rows: Mapping[str, PublicationRow], column: str
) -> dict[str, str]:
    """Return the paths of the original photos of rows, as far as the feed still has the rows."""
    feed = request.db.get(Feed, (campaign.workspace_id, campaign.feed_id))
    if feed is None or column not in feed.columns:
        return {}
    is_image = FeedSchema.model_validate(feed.schema).types.get(column) == ColumnType.IMAGE
    here = request.path_in("feeds", feed.id, "photo")
    return {
        key: f"{here}?{urlencode({'row': item.position, 'column': column, 'revision': item.revision})}"
        for key, item in list_items_by_keys(request.db, feed, rows.keys()).items()
        if item.position and (value := item.data.get(column)) and (is_image or value.startswith(UPLOAD))
    }


@form_view(
    DecisionForm,
    _changes_page,
    context=PublicationResource,
    name="decide",
    renderer="publications/changes.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
)
def decide_rows(context: PublicationResource, request: Request, form: DecisionForm) -> Response:
    """Decide about selected rows, about those of a design, or about those with a text in a column."""
    publication, campaign = context.row, load_campaign_of(request.db, context.row)
    chosen = _chosen_rows(request, publication, form)
    decision = Decision(verdict=form.verdict, actor=request.actor, comment=form.comment, **chosen)
    try:
        count = decide(request.db, campaign, publication, decision)
    except NotPublishableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    enqueue_advance(request.db, campaign)  # publications of later phases are compared again
    request.audit(
        "publication.request_decision" if count is None else "publication.decide",
        campaign.name,
        number=publication.number,
        verdict=form.verdict.value,
        **({} if count is None else {"rows": count}),
        column=form.column,
        value=form.value,
        comment=form.comment,
    )
    if count is None:
        return HTTPSeeOther(_return_path(request, publication))
    text = ngettext(
        "%(verdict)s: decided for %(count)s row",
        "%(verdict)s: decided for %(count)s rows",
        count,
        verdict=form.verdict.label,
    )
    add_notice(request, text, **_undo(request, publication, form, chosen.get("keys")) if count else {})
    return HTTPSeeOther(_return_path(request, publication))


@view_config(
    context=PublicationResource,
    name="decision",
    request_method="GET",
    renderer="publications/_decision.jinja2",
    permission=Permission.VIEW,
)
def show_decision(context: PublicationResource, request: Request) -> dict[str, DecisionStatus | None] | Response:
    """Show how far the decision is that a job applies; once it is applied, htmx loads the whole page again."""
    status = _decision_status(request, context.row)
    if status is None or not status.is_waiting:
        if request.headers.get("HX-Request") != "true":
            return HTTPSeeOther(publication_path(request, context.row))
        request.response.headers["HX-Refresh"] = "true"
    return {"decision": status}


def _chosen_rows(request: Request, publication: Publication, form: DecisionForm) -> dict[str, Any]:
    """Return the rows that a decision is about, as `decide` takes them."""
    if form.rows == "selected":
        keys = _sent_keys(request)
        if not keys:
            raise HTTPUnprocessableEntity(gettext("Select at least one row"))
        if len(keys) > MAX_KEYS:
            raise HTTPUnprocessableEntity(gettext("Select at most %(count)s rows", count=MAX_KEYS))
        return {"keys": keys}
    if form.column and form.column not in publication.columns:
        raise HTTPUnprocessableEntity(gettext("Choose a column of the feed"))
    if form.value and not form.column:
        raise HTTPUnprocessableEntity(gettext("Choose the column that has the text"))
    if not form.design and not form.value:
        raise HTTPUnprocessableEntity(gettext("Choose a design, or a column and a text"))
    designs = {"designs": [int(form.design)]} if form.design else {}
    if form.design and int(form.design) not in design_names(publication.rules):
        raise HTTPUnprocessableEntity(gettext("Choose a design of this publication"))
    return {**designs, **({"column": form.column, "value": form.value} if form.value else {})}


def _sent_keys(request: Request) -> list[str]:
    """Return the keys that a form has sent: one by one, or as a JSON array in `keys`."""
    keys = [key for key in request.POST.getall("key") if isinstance(key, str)]
    packed = request.POST.get("keys")
    if isinstance(packed, str) and packed:
        try:
            more = json.loads(packed)
        except ValueError:
            more = None
        if not isinstance(more, list) or not all(isinstance(key, str) for key in more):
            raise HTTPUnprocessableEntity(gettext("Select at least one row"))
        keys += more
    if any("\x00" in key or any("\ud800" <= each <= "\udfff" for each in key) for key in keys):
        raise HTTPUnprocessableEntity(gettext("The form contains a character that is not allowed"))
    return list(dict.fromkeys(keys))


def _undo(request: Request, publication: Publication, form: DecisionForm, keys: list[str] | None) -> dict[str, str]:
    """Return the form that takes a decision back, for a notice; none if it is one, or if it names too many rows."""
    fields = {"verdict": Verdict.RESET.value, "rows": form.rows}
    if keys is not None:
        fields["keys"] = json.dumps(keys)
    else:
        fields |= {"design": form.design, "column": form.column, "value": form.value}
    if form.verdict == Verdict.RESET or any(len(value) > MAX_FIELD for value in fields.values()):
        return {}
    return {"undo": f"{publication_path(request, publication)}/decide", **fields}


def _return_path(request: Request, publication: Publication) -> str:
    """Return where a decision came from: the page of a change, or the list with its filters."""
    here, key = publication_path(request, publication), request.POST.get("change")
    if isinstance(key, str) and key:
        return f"{here}/change?{urlencode({'key': key})}"
    kept = ("search", "column", "kind", "design", "state", "sort")
    values = {name: request.GET[name] for name in kept if request.GET.get(name)}
    return f"{here}?{urlencode(values)}" if values else here


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
