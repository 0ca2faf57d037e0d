"""`/v1/campaigns/{id}/publications`: what readers of a campaign see, saw or will see, and decisions about it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import Field, model_validator
from pyramid.view import view_config
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.api.campaigns import lock_campaign, needs_approval
from cwz_web.api.pagination import ResponseModel, page_limit, paginate, position_after, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.campaigns.decisions import MAX_COMMENT, Decision, Verdict, decide, read_decision
from cwz_web.campaigns.models import Campaign, ChangeKind, Publication, PublicationChange, PublicationState
from cwz_web.campaigns.notifications import notify_published
from cwz_web.campaigns.policy import Reason, ReasonCode
from cwz_web.campaigns.progress import enqueue_advance
from cwz_web.campaigns.publications import (
    ApprovalRequiredError,
    NotPublishableError,
    approve,
    check_waits,
    discard,
    publish,
    roll_back,
)
from cwz_web.feeds.limits import MAX_NAME
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image
from cwz_web.resources.api import ApiPublication, ApiPublicationCollection
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.web.urls import parse_number
from cwz_web.workspaces.audit import record

MAX_DECIDED_KEYS = 1000
ChangeState = Literal["ok", "incomplete", "failed", "missing", "kept", "accept", "former", "original"]


class PublicationReasonInfo(ResponseModel):
    """Why a publication waits for a decision: a `code`, the value, the one that the policy allows, and a sentence."""

    code: ReasonCode
    value: int
    limit: int
    message: str


class RowsOfDesign(ResponseModel):
    """How many rows of a publication have a design."""

    design: int
    rows: int


class PublicationDecision(ResponseModel):
    """The newest decision about a publication that took longer than a request.

    While the publication is `deciding`, `done` of `total` rows are decided. Then `rows` is how many the decision was
    about; null if it was not applied, since the publication was discarded before.
    """

    verdict: Verdict
    at: datetime
    done: int
    total: int
    rows: int | None


class PublicationSummary(ResponseModel):
    """What the API and webhooks say of a publication. The counts are numbers of rows, but `findings`."""

    number: int
    id: UUID
    state: PublicationState
    publish_at: datetime | None
    published_at: datetime | None
    rows: int
    new: int
    changed: int
    removed: int
    unchanged: int
    updated: int
    kept: int
    missing: int
    findings: int


class PublicationInfo(PublicationSummary):
    """A publication. The counts are numbers of rows; `findings` is that of all images.

    `state` is `preparing`, `deciding` (a `decision` about many rows is being applied), `held` (waits for a decision,
    for the `reasons`), `scheduled` (is published at `publish_at`), `published` (is public, or was) or `discarded`.
    `new`, `changed`, `removed` and `unchanged` compare it with what is public before it; `updated` of the unchanged
    rows have other cells. `kept` rows show an earlier image, `missing` ones none.
    """

    public: bool
    decision: PublicationDecision | None
    designs: list[RowsOfDesign]
    reasons: list[PublicationReasonInfo]
    approvals: int
    created_at: datetime


class PublicationPage(ResponseModel):
    """A page of publications, newest first."""

    publications: list[PublicationInfo]
    next: str | None


class ChangeImage(ResponseModel):
    """An image of a row for one of the outputs; null if there is none."""

    id: UUID | None
    url: str | None


class PublicationChangeInfo(ResponseModel):
    """A row that differs from what is public before, or that has no complete image.

    `images` are those that it would have, `public_images` those that it shows before; an empty list stands for the
    original photo, null for none. `state` is that of the image, or what was decided: `kept` (automatically), `accept`,
    `former` or `original`. `differs` says whether readers see another image. `difference` is how many thousandths of
    the pixels differ, if it is known.
    """

    key: str
    kind: ChangeKind
    state: ChangeState
    differs: bool
    design: int | None
    public_design: int | None
    images: list[ChangeImage] | None
    public_images: list[ChangeImage] | None
    findings: int
    difference: int | None


class PublicationChangePage(ResponseModel):
    """A page of the changes of a publication, in the order of their keys."""

    changes: list[PublicationChangeInfo]
    next: str | None


class DecisionRequest(Body):
    """A decision about changed rows: all of them, or those with the `keys`, the `designs`, and `value` in a `column`.

    `accept` shows an incomplete image, `former` what is public, `original` the original photo; `reset` takes a decision
    back. A decision ends when another image of the row is rendered.
    """

    verdict: Verdict
    keys: list[Annotated[str, Field(max_length=400)]] | None = Field(None, min_length=1, max_length=MAX_DECIDED_KEYS)
    designs: list[Annotated[int, Field(ge=1, le=32_000)]] | None = Field(None, min_length=1, max_length=100)
    column: Annotated[str, Field(max_length=MAX_NAME)] = ""
    value: Annotated[str, Field(max_length=400)] = ""
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""

    @model_validator(mode="after")
    def _check_column(self) -> "DecisionRequest":
        if bool(self.column) != bool(self.value):
            raise ValueError("Give both column and value, or neither")
        return self


class DecisionInfo(ResponseModel):
    """How many rows a decision is about, and the publication, which waits for its approval again.

    `rows` is null with status 202: the decision may be about more than 20,000 rows. The publication is `deciding` until
    it is applied; read it again until then.
    """

    rows: int | None
    publication: PublicationInfo


@view_config(context=ApiPublicationCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_campaign_publications(context: ApiPublicationCollection, request: Request) -> dict[str, Any]:
    """List the publications of a campaign."""
    campaign = context.campaign
    with transaction(request) as db:
        rows, next_page = paginate(request, db, Publication, Publication.campaign_id == campaign.id)
    publications = [_info(campaign, publication) for publication in rows]
    return PublicationPage(publications=publications, next=next_page).model_dump(mode="json")


@view_config(context=ApiPublication, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_publication(context: ApiPublication, request: Request) -> dict[str, Any]:
    """Return a publication with its counts and why it waits."""
    return _info(context.campaign, context.publication).model_dump(mode="json")


@view_config(
    context=ApiPublication, name="changes", request_method="GET", renderer="json", permission=Permission.API_READ
)
def list_changes(context: ApiPublication, request: Request) -> dict[str, Any]:
    """List the rows of a publication that differ from what is public before it."""
    publication, limit = context.publication, page_limit(request)
    changes = select(PublicationChange).where(
        PublicationChange.workspace_id == publication.workspace_id,
        PublicationChange.publication_id == publication.id,
        PublicationChange.position > position_after(request),
    )
    if kind := _filter(request, "kind", ChangeKind):
        changes = changes.where(PublicationChange.kind == kind)
    if state := _filter(request, "state", get_args(ChangeState)):
        changes = changes.where(PublicationChange.state == state)
    if "design" in request.GET:
        changes = changes.where(PublicationChange.design == _design(request))
    with transaction(request) as db:
        found = list(db.scalars(changes.order_by(PublicationChange.position).limit(limit)))
        urls = _image_urls(request, db, found)
    next_page = str(found[-1].position) if len(found) == limit else None
    rows = [_change_info(change, urls) for change in found]
    return PublicationChangePage(changes=rows, next=next_page).model_dump(mode="json")


@view_config(
    context=ApiPublication,
    name="decisions",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def post_decision(context: ApiPublication, request: Request) -> dict[str, Any]:
    """Decide about changed rows of a publication that waits."""
    body = read_body(request, DecisionRequest)
    if body.column and body.column not in context.publication.columns:
        errors = {"column": "The publication does not have this column"}
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    with transaction(request) as db:
        campaign, publication = _locked(db, context)
        try:
            rows = decide(db, campaign, publication, Decision(actor=request.actor, **body.model_dump()))
        except NotPublishableError as error:
            raise _not_publishable(error) from None
        if rows is None or rows:
            enqueue_advance(db, campaign)
            action = "publication.request_decision" if rows is None else "publication.decide"
            details = {"verdict": body.verdict} | ({} if rows is None else {"rows": rows})
            _audit(db, request, action, campaign, publication, **details)
        if rows is None:
            request.response.status = 202
        return DecisionInfo(rows=rows, publication=_info(campaign, publication)).model_dump(mode="json")


@view_config(
    context=ApiPublication,
    name="publish",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def publish_publication(context: ApiPublication, request: Request) -> dict[str, Any]:
    """Publish a publication that waits: now, or when its phase begins."""
    with transaction(request) as db:
        campaign, publication = _locked(db, context)
        try:
            if publication.state == PublicationState.HELD:
                approve(db, campaign, publication, None)
            check_waits(publication, PublicationState.SCHEDULED)  # which it is once it is approved
            if (publication.publish_at or datetime.min.replace(tzinfo=UTC)) <= datetime.now(UTC):
                publish(db, campaign, publication)
                notify_published(db, campaign, publication)
        except ApprovalRequiredError:
            raise needs_approval() from None
        except NotPublishableError as error:
            raise _not_publishable(error) from None
        enqueue_advance(db, campaign)
        _audit(db, request, "publication.publish", campaign, publication)
        return _info(campaign, publication).model_dump(mode="json")


@view_config(
    context=ApiPublication,
    name="discard",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def discard_publication(context: ApiPublication, request: Request) -> dict[str, Any]:
    """Discard a publication that waits; what is public stays."""
    with transaction(request) as db:
        campaign, publication = _locked(db, context)
        try:
            discard(db, campaign, publication)
        except NotPublishableError as error:
            raise _not_publishable(error) from None
        _audit(db, request, "publication.discard", campaign, publication)
        return _info(campaign, publication).model_dump(mode="json")


@view_config(
    context=ApiPublication,
    name="rollback",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def roll_back_to_publication(context: ApiPublication, request: Request) -> dict[str, Any]:
    """Make a publication that was public before public again, and pause the campaign. Nothing is rendered."""
    with transaction(request) as db:
        campaign, publication = _locked(db, context)
        try:
            roll_back(db, campaign, publication)
        except NotPublishableError as error:
            raise _not_publishable(error) from None
        notify_published(db, campaign, publication)
        _audit(db, request, "publication.roll_back", campaign, publication)
        return _info(campaign, publication).model_dump(mode="json")


def _locked(db: Session, context: ApiPublication) -> tuple[Campaign, Publication]:
    campaign = lock_campaign(db, context.campaign)
    return campaign, db.get_one(Publication, (campaign.workspace_id, context.publication.id))


def _not_publishable(error: NotPublishableError) -> ProblemError:
    return ProblemError(409, "not_publishable", str(error))


def _filter(request: Request, name: str, values: Iterable[str]) -> str | None:
    """Return the value of a filter of the query. Raise ProblemError."""
    value = request.GET.get(name)
    if value not in (None, *values):
        raise ProblemError(422, "invalid", "The request is not valid", {name: f"Use {', '.join(values)}"})
    return value


def _design(request: Request) -> int:
    number = parse_number(request.GET["design"])
    if not 1 <= number <= 32_000:
        raise ProblemError(422, "invalid", "The request is not valid", {"design": "Use the number of a design"})
    return number


def _image_urls(request: Request, db: Session, changes: Iterable[PublicationChange]) -> dict[str, str]:
    """Return the URLs of the images that changes name; those of deleted images are left out."""
    ids = {UUID(each) for change in changes for each in (*(change.images or ()), *(change.base_images or ())) if each}
    images = db.scalars(select(Image).where(Image.workspace_id == request.api_key.workspace_id, Image.id.in_(ids)))
    urls = ImageUrls.load(db, request.api_key.workspace_id, request.services.signed_urls)
    return {str(image.id): urls.url(image) for image in images}


def _change_info(change: PublicationChange, urls: dict[str, str]) -> PublicationChangeInfo:
    def shown(ids: list[Any] | None) -> list[ChangeImage] | None:
        return None if ids is None else [ChangeImage(id=each, url=urls.get(each)) for each in ids]

    return PublicationChangeInfo(
        key=change.key,
        kind=ChangeKind(change.kind),
        state=change.state,
        differs=change.differs,
        design=change.design,
        public_design=change.base_design,
        images=shown(change.images),
        public_images=shown(change.base_images),
        findings=change.findings,
        difference=change.difference,
    )


def _info(campaign: Campaign, publication: Publication) -> PublicationInfo:
    counts = ("rows", "new", "changed", "removed", "unchanged", "updated", "kept", "missing", "findings")
    return PublicationInfo(
        number=publication.number,
        id=publication.id,
        state=PublicationState(publication.state),
        public=campaign.public_id == publication.id,
        decision=_decision_info(publication),
        publish_at=publication.publish_at,
        published_at=publication.published_at,
        **{name: getattr(publication, name) for name in counts},
        designs=[RowsOfDesign(design=int(number), rows=rows) for number, rows in publication.design_counts.items()],
        reasons=[
            PublicationReasonInfo(code=reason.code, value=reason.value, limit=reason.limit, message=reason.describe())
            for reason in map(Reason.model_validate, publication.reasons)
        ],
        approvals=len(publication.approvals),
        created_at=publication.created_at,
    )


def _decision_info(publication: Publication) -> PublicationDecision | None:
    decision = read_decision(publication)
    if decision is None:
        return None
    names = ("verdict", "at", "done", "total", "rows")
    return PublicationDecision(**{name: getattr(decision, name) for name in names})


def _audit(
    db: Session, request: Request, action: str, campaign: Campaign, publication: Publication, **details: Any
) -> None:
    details = {"campaign": str(campaign.id), "number": publication.number, **details}
    record(db, campaign.workspace_id, request.actor, action, campaign.name, details)
