"""What the pages of a publication share: its head, the labels of its rows, and their thumbnails."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.campaigns.changes import (
    KEPT,
    load_images,
)
from cwz_web.campaigns.decisions import Verdict, read_decision
from cwz_web.campaigns.models import (
    Campaign,
    ChangeKind,
    Publication,
    PublicationRow,
    PublicationState,
)
from cwz_web.campaigns.policy import PublishPolicy, Reason
from cwz_web.campaigns.publications import WAITING
from cwz_web.campaigns.rules import RULES
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items_by_keys
from cwz_web.generation.image_service import UPLOAD
from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.web.request import Request
from cwz_web.workspaces.members import name_creators

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
TITLE_NAMES = ("title", "name", "titel", "titre", "bezeichnung", "nom", "product", "produkt", "produit")


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
        decision=decision_status(request, publication) if waits else None,
        tabs=[(label, f"{here}/{name}".rstrip("/"), name == page) for name, label in tabs.items()],
    )


def decision_status(request: Request, publication: Publication) -> DecisionStatus | None:
    """Return the newest decision that was left to a job, as far as the page has something to say about it."""
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
