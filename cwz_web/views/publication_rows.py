"""Rows of a publication: one change in full, and all rows as a contact sheet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.campaigns.changes import find_change, find_rows, load_images, load_rows, neighbors
from cwz_web.campaigns.checks import FAULTS, read_groups
from cwz_web.campaigns.decisions import VERDICT_LABELS, Verdict
from cwz_web.campaigns.joins import find_join_findings
from cwz_web.campaigns.models import Campaign, ChangeKind, PublicationChange, PublicationRow
from cwz_web.campaigns.publications import WAITING
from cwz_web.channels.checks import limit_outputs
from cwz_web.channels.editing import list_channels
from cwz_web.channels.publication_check import ChannelCheck, read_checks
from cwz_web.generation.images import read_image
from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.encoders import Format, Output, encode
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.findings import FindingCode
from cwz_web.imaging.pixel_difference import compare_files
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import PublicationResource
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.progress import item_of_image
from cwz_web.runs.reports import finding_texts
from cwz_web.storage.contract import StorageError
from cwz_web.storage.models import Connection
from cwz_web.views.publication_head import (
    KIND_LABELS,
    STATE_BADGES,
    STATES,
    PublicationHead,
    Thumbnail,
    describe_head,
    design_names,
    thumbnails,
    title_column,
)
from cwz_web.views.rule_texts import describe_joins
from cwz_web.web.forms import read_query
from cwz_web.web.lists import Filter, ListControls, ListForm, keep_url, read_list_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.transactions import release_connection
from cwz_web.web.urls import after_position
from cwz_web.workspaces.members import name_creators

MAX_TITLE = 60
# How much a channel of a pixel may differ, of 255, before the pixel counts as changed.
THRESHOLDS = (0, 8, 16, 32, 64)
DEFAULT_THRESHOLD = 16
FAULTY = {"": gettext_noop("All rows"), "1": gettext_noop("Rows without a complete image")}
ROW_STATES = {
    "ok": gettext_noop("Complete"),
    "incomplete": gettext_noop("Incomplete"),
    "failed": gettext_noop("Failed"),
    "missing": gettext_noop("Without image"),
}
FINDING_LABELS = {
    "failed": gettext_noop("Image failed"),
    "missing": gettext_noop("No image"),
    "incomplete": gettext_noop("Image incomplete"),
    FindingCode.PHOTO_MISSING: gettext_noop("Photo missing"),
    FindingCode.ROW_EMPTY: gettext_noop("Value missing"),
    FindingCode.PHOTO_CUT_OFF: gettext_noop("Photo cut off"),
    FindingCode.PHOTO_UNPROCESSED: gettext_noop("Photo not processed"),
    FindingCode.OVERFLOW: gettext_noop("Text does not fit"),
    FindingCode.BELOW_MINIMUM: gettext_noop("Text below its minimum size"),
    FindingCode.TOO_HIGH: gettext_noop("Content too high"),
    FindingCode.MISSING_GLYPH: gettext_noop("Letters missing in the font"),
    FindingCode.UNSCANNABLE: gettext_noop("Code cannot be scanned"),
    FindingCode.BAD_CODE: gettext_noop("Invalid code"),
    FindingCode.VALUE_UNCLEAR: gettext_noop("Unclear value"),
}
# The decision that the product makes itself: a row without a complete image keeps the public one.
AUTOMATIC = "kept"


class SheetForm(ListForm):
    """Which rows are shown. `after` is the key of the last row of the page before."""

    search: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    design: Annotated[str, Field(pattern=r"^[0-9]{0,5}$")] = ""
    faulty: Annotated[str, Field(pattern="^1?$")] = ""
    after: Annotated[str, Field(max_length=2000)] = ""  # type: ignore[assignment]


class ChangePageQuery(BaseModel):
    """A change, by the key of its row."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    key: Annotated[str, Field(max_length=2000)]
    threshold: Annotated[int, Field(ge=0, le=255)] = DEFAULT_THRESHOLD


class HeatQuery(ChangePageQuery):
    """The image of an output whose difference is shown."""

    output: Annotated[int, Field(ge=0, le=100)] = 0


@dataclass(frozen=True)
class SheetCell:
    """A row of the contact sheet."""

    key: str
    path: str
    title: str
    design: str
    image: Thumbnail | None
    state: str
    badge: str


@dataclass(frozen=True)
class SheetPageModel:
    """What publications/sheet.jinja2 and publications/_sheet.jinja2 show.

    Attributes:
        total: how many rows the filter by a design has; None if that is not known without searching.
        next_query: the query of the next page; None after the last.
        searched: how many rows were searched, if the page has a filter.
    """

    head: PublicationHead
    cells: list[SheetCell]
    list: ListControls
    is_first_page: bool
    total: int | None
    next_query: str | None
    searched: int


@dataclass(frozen=True)
class ShownGroup:
    """Rows of a design in which the same was found.

    Attributes:
        label: what was found.
        is_fault: whether the rows have no complete image.
        message: what was found in one of them.
        examples: the first rows.
        list_path: the path of all rows, if they can be listed.
    """

    label: str
    layer: str
    design: str
    message: str
    is_fault: bool
    rows: int
    examples: list[SheetCell]
    list_path: str


@dataclass(frozen=True)
class CheckPage:
    """What publications/check.jinja2 shows.

    Attributes:
        groups: what was found in the images; None before they were checked.
        faulty: how many rows have no complete image of their own.
        join_findings: what joined feeds lack or have more than once now, as sentences, while the publication waits.
        channels: what the channels would write; None before they were checked.
        limited: whether the files of a channel's images have the limit of its platform, by its id, for members who can
            change that.
    """

    head: PublicationHead
    groups: list[ShownGroup] | None
    faulty: int
    join_findings: list[str]
    channels: list[ChannelCheck] | None
    limited: dict[UUID, bool]


@dataclass(frozen=True)
class FullImage:
    """An output of a row in both publications, at full size; paths are "" for none."""

    label: str
    before: str
    before_path: str
    after: str
    after_path: str
    width: int
    height: int
    heat: str


@dataclass(frozen=True)
class CellChange:
    """A cell of a row: its column, the value before and after."""

    column: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class ShownDecision:
    """A decision about the image of a row; `by` is "" for one that the product made."""

    verdict: str
    by: str
    at: datetime | None
    comment: str


@dataclass(frozen=True)
class ChangeDetailPage:
    """What publications/change.jinja2 shows.

    Attributes:
        findings: what is wrong with the images, in words.
        run_path: the path of the run that rendered the image; "" if there is none.
        row_path: the path of the row in the campaign.
        previous, following: the paths of the changes before and after it; "" for none.
    """

    head: PublicationHead
    change: PublicationChange
    kind: str
    state: str
    badge: str
    designs: list[str]
    images: list[FullImage]
    threshold: int
    thresholds: tuple[int, ...]
    cells: list[CellChange]
    findings: list[str]
    run_path: str
    run_at: datetime | None
    row_path: str
    decision: ShownDecision | None
    verdicts: list[tuple[str, str]]
    may_decide: bool
    previous: str
    following: str


@page_view(
    "publications/sheet.jinja2",
    "publications/_sheet.jinja2",
    context=PublicationResource,
    name="sheet",
    permission=Permission.VIEW,
)
def show_sheet(context: PublicationResource, request: Request) -> SheetPageModel:
    """Show all rows of a publication; to htmx, a page of them."""
    publication = context.row
    head, asked = describe_head(request, publication, "sheet"), read_list_form(SheetForm, request)
    names = design_names(publication.rules)
    counted = {number: publication.design_counts.get(str(number), 0) for number in names}
    choices = {
        str(number): f"{name} ({counted[number]})"
        for number, name in names.items()
        if counted[number] or asked.design == str(number)
    }
    design = int(asked.design) if asked.design in choices else None
    column = asked.column if asked.column in publication.columns and asked.search else ""
    page = find_rows(
        request.db,
        head.campaign,
        publication,
        design=design,
        is_faulty=bool(asked.faulty),
        column=column,
        text=asked.search,
        after=asked.after,
    )
    columns = {"": gettext("Key"), **{name: shorten(name, 30) for name in publication.columns}}
    controls = ListControls(
        noun="rows",
        search=asked.search,
        filters=(
            Filter("column", gettext("Column"), columns, column),
            Filter("design", gettext("Design"), {"": gettext("All designs"), **choices}, asked.design),
            Filter("faulty", gettext("Rows"), {value: gettext(label) for value, label in FAULTY.items()}, asked.faulty),
        ),
        placeholder=gettext("Search rows…"),
    )
    if not asked.after:
        keep_url(request, controls)
    scanned = after_position(request, "scanned") + page.scanned
    more = {"after": page.next_after, "scanned": str(scanned)} if page.next_after else {}
    is_searched = bool(asked.search or asked.faulty)
    return SheetPageModel(
        head=head,
        cells=_sheet_cells(request, head, page.rows, names),
        list=controls,
        is_first_page=not asked.after,
        total=None if is_searched else publication.rows if design is None else counted[design],
        next_query=urlencode(controls.parameters | more) if more else None,
        searched=scanned if page.scanned else 0,
    )


def _sheet_cells(
    request: Request, head: PublicationHead, rows: list[tuple[PublicationRow, int]], names: Mapping[int, str]
) -> list[SheetCell]:
    shown = {row.key: _shown(row, design) for row, design in rows}
    title = title_column(head.publication)
    find = thumbnails(
        request, head.campaign, shown.values(), {row.key: row for row, _ in rows}, head.publication.photo_column
    )
    here = request.path_in("campaigns", head.campaign.id, "row")

    def describe(row: PublicationRow, design: int) -> SheetCell:
        decision = (row.decisions or {}).get(str(design))
        state = decision["v"] if decision else (row.images.get(str(design)) or {}).get("s", "missing")
        return SheetCell(
            key=row.key,
            path=f"{here}?{urlencode({'key': row.key})}",
            title=shorten(row.data.get(title) or "", MAX_TITLE),
            design=names.get(design, ""),
            image=find(row.key, shown[row.key]),
            state="" if state == "ok" else gettext(STATES[state]),
            badge=STATE_BADGES.get(state, ""),
        )

    return [describe(row, design) for row, design in rows]


def _shown(row: PublicationRow, design: int) -> list[Any] | None:
    """Return what a row shows with a design, as timeline.SHOWN does: `[]` for the original photo, None for nothing."""
    number = str(design)
    decision, image = (row.decisions or {}).get(number), row.images.get(number)
    if decision:
        return decision["i"]
    return image["i"] if image and image["s"] == "ok" else None


@view_config(
    context=PublicationResource,
    name="check",
    request_method="GET",
    renderer="publications/check.jinja2",
    permission=Permission.VIEW,
)
def show_check(context: PublicationResource, request: Request) -> CheckPage:
    """Show what was found in all images of a publication, grouped, the worst first."""
    publication = context.row
    head, groups = describe_head(request, publication, "check"), read_groups(publication)
    joins = find_join_findings(request.db, head.campaign) if publication.state in WAITING else []
    if groups is None:
        return CheckPage(head, None, 0, describe_joins(joins), read_checks(publication), _limited(request, head))
    names, active = design_names(publication.rules), set(publication.designs)
    rows = load_rows(request.db, head.campaign, publication.timeline, {key for group in groups for key in group.keys})
    designs = {key: next((each for each in row.designs if each in active), 0) for key, row in rows.items()}
    cells = _sheet_cells(request, head, [(row, designs[key]) for key, row in rows.items()], names)
    examples = {cell.key: cell for cell in cells}
    return CheckPage(
        head,
        [
            ShownGroup(
                label=gettext(FINDING_LABELS[group.code]) if group.code in FINDING_LABELS else group.code,
                layer=group.layer,
                design=names.get(group.design or 0, ""),
                message=group.message,
                is_fault=group.code in FAULTS,
                rows=group.rows,
                examples=[examples[key] for key in group.keys if key in examples],
                list_path=f"{head.here}/sheet?{urlencode({'faulty': '1', 'design': group.design or ''})}"
                if group.code in FAULTS
                else "",
            )
            for group in groups
        ],
        sum(group.rows for group in groups if group.code in FAULTS),
        describe_joins(joins),
        read_checks(publication),
        _limited(request, head),
    )


def _limited(request: Request, head: PublicationHead) -> dict[UUID, bool]:
    if not request.has_permission(Permission.CAMPAIGN_EDIT):
        return {}
    outputs = head.campaign.image_outputs
    return {
        channel.id: limit_outputs(channel.platform, channel.mappings, outputs) == outputs
        for channel in list_channels(request.db, head.campaign)
    }


@view_config(
    context=PublicationResource,
    name="change",
    request_method="GET",
    renderer="publications/change.jinja2",
    permission=Permission.VIEW,
)
def show_change(context: PublicationResource, request: Request) -> ChangeDetailPage:
    """Show what differs in a row: its images at full size, its cells, and decisions about it."""
    query, head = read_query(ChangePageQuery, request.GET), describe_head(request, context.row)
    publication, campaign, db = head.publication, head.campaign, request.db
    change = find_change(db, publication, query.key)
    if change is None:
        raise HTTPNotFound
    new = load_rows(db, campaign, publication.timeline, [change.key]).get(change.key)
    old = load_rows(db, campaign, head.base.timeline, [change.key]).get(change.key) if head.base else None
    if change.kind == ChangeKind.REMOVED:
        new = None
    names, base_names = design_names(publication.rules), design_names(head.base.rules) if head.base else {}
    designs = [base_names.get(change.base_design or 0, ""), names.get(change.design or 0, "")]
    decision = (new.decisions or {}).get(str(change.design)) if new else None
    item = _item_of(request, campaign, change)
    run = db.get(Run, (campaign.workspace_id, item.run_id)) if item else None
    before, after = neighbors(db, publication, change.position)
    path = f"{head.here}/change?"
    return ChangeDetailPage(
        head=head,
        change=change,
        kind=gettext(KIND_LABELS[ChangeKind(change.kind)]),
        state=gettext(STATES[change.state]) if change.design is not None and change.state != "ok" else "",
        badge=STATE_BADGES.get(change.state, ""),
        designs=list(dict.fromkeys(name for name in designs if name)),
        images=_full_images(request, head, change, query.threshold),
        threshold=query.threshold,
        thresholds=THRESHOLDS,
        cells=_cells(publication.columns, old, new),
        findings=[*finding_texts(item), *([item.error] if item.error and item.state == "failed" else [])]
        if item
        else [],
        run_path=request.path_in("runs", run.id) if run else "",
        run_at=run.created_at if run else None,
        row_path=f"{request.path_in('campaigns', campaign.id, 'row')}?{urlencode({'key': change.key})}",
        decision=describe_decision(request, campaign, decision),
        verdicts=[(verdict.value, verdict.label) for verdict in Verdict],
        may_decide=head.may_decide and change.design is not None,
        previous=path + urlencode({"key": before}) if before is not None else "",
        following=path + urlencode({"key": after}) if after is not None else "",
    )


def _item_of(request: Request, campaign: Campaign, change: PublicationChange) -> RunItem | None:
    """Return the item of a run that rendered the first image of a change, or failed to."""
    ids = [UUID(each) for each in change.images or () if each]
    if ids and (item := item_of_image(request.db, campaign.workspace_id, ids[0])):
        return item
    if change.design is None:
        return None
    items = (
        select(RunItem)
        .join(Run, (Run.workspace_id == RunItem.workspace_id) & (Run.id == RunItem.run_id))
        .where(
            RunItem.workspace_id == campaign.workspace_id,
            RunItem.key == change.key,
            Run.campaign_id == campaign.id,
            Run.design == change.design,
        )
    )
    return request.db.scalar(items.order_by(RunItem.run_id.desc()).limit(1))


def _full_images(request: Request, head: PublicationHead, change: PublicationChange, threshold: int) -> list[FullImage]:
    """Return both images of each output, with the path of the heat image if there are both."""
    db, campaign = request.db, head.campaign
    ids = {UUID(each) for images in (change.images, change.base_images) for each in images or () if each}
    images = load_images(db, campaign.workspace_id, ids)
    row = load_rows(db, campaign, head.publication.timeline, [change.key])
    photo = thumbnails(request, campaign, [[]], row, head.publication.photo_column)(change.key, [])
    signed_urls = request.services.signed_urls

    def side(shown: list[Any] | None, index: int) -> tuple[str, str, Image | None]:
        if shown == []:
            return (photo.path, "", None) if photo and index == 0 else ("", "", None)
        image = images.get(UUID(shown[index])) if shown and index < len(shown) and shown[index] else None
        return (signed_urls.image(image), request.path_in("images", image.id), image) if image else ("", "", None)

    found = []
    for index, output in enumerate(head.publication.outputs or [{}]):
        before, before_path, old = side(change.base_images, index)
        after, after_path, new = side(change.images, index)
        sized = new or old
        heat = ""
        if old and new and old.id != new.id:
            asked = {"key": change.key, "output": index, "threshold": threshold}
            heat = f"{head.here}/heat?{urlencode(asked)}"
        label = output.get("size") or gettext("Image")
        found.append(
            FullImage(
                label=label,
                before=before,
                before_path=before_path,
                after=after,
                after_path=after_path,
                width=sized.width if sized else 400,
                height=sized.height if sized else 400,
                heat=heat,
            )
        )
    return found


def _cells(columns: Iterable[str], old: PublicationRow | None, new: PublicationRow | None) -> list[CellChange]:
    """Return the cells of a row that are not empty, those that differ first."""
    before, after = old.data if old else {}, new.data if new else {}
    names = dict.fromkeys([*columns, *before, *after])
    cells = [CellChange(name, before.get(name) or "", after.get(name) or "") for name in names]
    return sorted((cell for cell in cells if cell.before or cell.after), key=lambda cell: not cell.is_changed)


def describe_decision(request: Request, campaign: Campaign, decision: Mapping[str, Any] | None) -> ShownDecision | None:
    """Return a decision in words, with the name of who made it."""
    if not decision:
        return None
    if decision["v"] == AUTOMATIC:
        return ShownDecision(gettext(STATES[AUTOMATIC]), "", None, "")
    account_id = UUID(decision["by"]) if decision.get("by") else None
    names = name_creators(request.db, campaign.workspace_id, [account_id]) if account_id else {}
    return ShownDecision(
        verdict=gettext(VERDICT_LABELS[Verdict(decision["v"])]),
        by=names.get(account_id, gettext("a former member")) if account_id else gettext("an API key"),
        at=datetime.fromisoformat(decision["at"]) if decision.get("at") else None,
        comment=decision.get("comment", ""),
    )


@view_config(
    context=PublicationResource, name="heat", request_method="GET", permission=Permission.VIEW, rate_limit="preview"
)
def heat_image(context: PublicationResource, request: Request) -> Response:
    """Return the image of a change in faint gray, with the pixels that differ in color."""
    query, publication = read_query(HeatQuery, request.GET), context.row
    change = find_change(request.db, publication, query.key)
    both = (
        [images[query.output : query.output + 1] for images in (change.base_images, change.images) if images]
        if change
        else []
    )
    ids = [UUID(each[0]) for each in both if each and each[0]]
    images = load_images(request.db, publication.workspace_id, ids)
    if len(ids) < 2 or not all(each in images for each in ids):
        raise HTTPNotFound
    pair = [images[each] for each in ids]
    specs = [request.db.get_one(Connection, (image.workspace_id, image.connection_id)).spec for image in pair]
    response = Response(content_type=Format.PNG.content_type, conditional_response=True)
    response.etag = f"{pair[0].digest}-{pair[1].digest}-{query.threshold}"
    response.headers["Cache-Control"] = "private, no-cache"
    if response.etag in request.if_none_match:
        return response
    release_connection(request)  # the storage may be slow
    try:
        old, new = (
            read_image(request.services.providers.open(spec), image) for spec, image in zip(specs, pair, strict=True)
        )
        heat = compare_files(old, new, threshold=query.threshold).heat
    except (ImagingError, StorageError) as error:
        raise HTTPNotFound(str(error)) from error
    response.body = encode(heat, Output(format=Format.PNG))
    return response
