"""`/v1/campaigns`: the rows of a feed, and the rules that give each a design."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.feeds import MAX_ITEMS_BODY
from cwz_web.api.pagination import ResponseModel, paginate, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.api.runs import RunOutput
from cwz_web.api.templates import check_template
from cwz_web.campaigns.editing import (
    check_sizes,
    create_campaign,
    guess_photo_column,
    next_number,
    save_rules,
    used_designs,
)
from cwz_web.campaigns.editing import delete_campaign as remove_campaign
from cwz_web.campaigns.joins import MAX_JOINS, Join, find_join_findings, load_columns
from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.planning import count_by_design, is_planned
from cwz_web.campaigns.policy import PublishPolicy
from cwz_web.campaigns.progress import CampaignStoppedError, enqueue_advance, request_publication, try_plan_campaign
from cwz_web.campaigns.progress import pause_campaign as stop_following
from cwz_web.campaigns.progress import resume_campaign as follow
from cwz_web.campaigns.publications import get_public
from cwz_web.campaigns.rules import (
    HORIZON,
    MAX_DESIGNS,
    MAX_LABEL,
    MAX_RULE_NAME,
    MAX_RULES,
    MAX_WEIGHT,
    Design,
    DesignRule,
    InvalidRulesError,
    Phase,
    Window,
    phases,
)
from cwz_web.campaigns.targets import MissingTemplateError, count_images_to_render
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.limits import MAX_NAME
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.templates import find_template, load_design
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.imaging.expression_syntax import MAX_LENGTH
from cwz_web.resources.api import ApiCampaign, ApiCampaignCollection
from cwz_web.resources.permissions import Permission
from cwz_web.runs.mapping import SAMPLE, guess_mapping, mapped_columns
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.planning import MAX_OUTPUTS
from cwz_web.runs.selection import RowSelection
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace

MAX_CAMPAIGN_NAME = 100
# A feed with at most so many rows is planned in the request; a larger one by a job.
PLANNED_AT_ONCE = 10_000
# The first phases of a plan: what changes when.
SHOWN_PHASES = 20

Number = Annotated[int, Field(ge=1, le=32_000)]


class CampaignDesign(Body):
    """A design of a rule: a template, or the row's original photo without one.

    `number` identifies it in the campaign; leave it out for a new one. `mapping` names the feed's column for a field of
    the template; columns of other fields are guessed. A rule with several designs divides its rows among them by
    `weight`; the output feed has their `label`.
    """

    number: Number | None = None
    template: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    mapping: dict[str, Annotated[str, Field(max_length=400)]] = Field({}, max_length=200)
    label: Annotated[str, Field(max_length=MAX_LABEL, pattern=r"^[^\x00-\x1f]*$")] = ""
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)] = 1


class CampaignRule(Body):
    """A design rule. The first rule that takes a row wins; the last one has no condition and no window.

    `number` identifies it in the campaign; leave it out for a new one. `condition` is an expression about the row, such
    as `brand == "Acme" && price < 20`; without one, the rule takes all rows. With a `window` it counts only then.
    """

    number: Number | None = None
    name: Annotated[str, Field(min_length=1, max_length=MAX_RULE_NAME, pattern=r"^[^\x00-\x1f]*$")]
    condition: Annotated[str, Field(max_length=MAX_LENGTH)] = ""
    is_enabled: bool = True
    window: Window | None = None
    designs: Annotated[list[CampaignDesign], Field(min_length=1, max_length=MAX_DESIGNS)]


class CampaignSettings(Body):
    """The settings of a campaign that have defaults."""

    time_zone: Annotated[str, Field(min_length=1, max_length=60)] = "UTC"
    outputs: list[RunOutput] = Field([RunOutput()], min_length=1, max_length=MAX_OUTPUTS)
    selection: RowSelection = RowSelection()
    joins: list[Join] = Field([], max_length=MAX_JOINS)
    policy: PublishPolicy = PublishPolicy()
    photo_column: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP

    @field_validator("outputs")
    @classmethod
    def _all_differ(cls, outputs: list[RunOutput]) -> list[RunOutput]:
        if len(set(outputs)) < len(outputs):
            raise ValueError("Outputs must differ from each other")
        return outputs

    @field_validator("joins")
    @classmethod
    def _names_differ(cls, joins: list[Join]) -> list[Join]:
        if len({join.name for join in joins}) < len(joins):
            raise ValueError("The names of joined feeds must differ from each other")
        return joins

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("Use a time zone of the IANA database, such as Europe/Zurich")
        return name


class CampaignRequest(CampaignSettings):
    """The body of `POST /v1/campaigns`. It prepares nothing: `POST …/prepare` does, or `POST …/resume`.

    Each row has an image for each of the `outputs`. `selection` limits the rows. `joins` add the columns of further
    feeds, which rules and mappings write as `stock.quantity`. Windows are in the `time_zone`. `policy` says which
    publications need no decision, and how many members have to approve the others. The original photo of a row is the
    URL in `photo_column`, which is guessed without one.
    """

    name: Annotated[str, Field(min_length=1, max_length=MAX_CAMPAIGN_NAME)]
    feed: UUID
    rules: Annotated[list[CampaignRule], Field(min_length=1, max_length=MAX_RULES)]


class CampaignChangeRequest(CampaignSettings):
    """The body of `PATCH /v1/campaigns/{id}`: what is left out stays as it is; `rules` are replaced as a whole.

    Send the ETag of the campaign as If-Match, so that no change of another client is overwritten. A `policy` that asks
    for two approvals cannot be changed with an API key.
    """

    name: Annotated[str, Field(min_length=1, max_length=MAX_CAMPAIGN_NAME)] | None = None
    rules: Annotated[list[CampaignRule], Field(min_length=1, max_length=MAX_RULES)] | None = None


class CampaignInfo(ResponseModel):
    """A campaign.

    `revision` counts the changes of its rules, outputs, joins and selection. `public` is the number of the publication
    that readers see. With `active`, changes of the feed prepare the next publication. `error_message` says why none can
    be prepared.
    """

    id: UUID
    name: str
    feed: UUID
    revision: int
    active: bool
    public: int | None
    error_message: str | None
    created_at: datetime


class CampaignDesignInfo(ResponseModel):
    """A design of a rule; without a template, the row's original photo."""

    number: int
    template: UUID | None
    mapping: dict[str, str]
    label: str
    weight: int


class CampaignRuleInfo(ResponseModel):
    """A design rule."""

    number: int
    name: str
    condition: str
    is_enabled: bool
    window: Window | None
    designs: list[CampaignDesignInfo]


class CampaignDetails(CampaignInfo):
    """A campaign with its rules and settings, and the URL of its output feed: the public rows with their images."""

    rules: list[CampaignRuleInfo]
    outputs: list[RunOutput]
    time_zone: str
    selection: RowSelection
    joins: list[Join]
    policy: PublishPolicy
    photo_column: str
    on_missing_photo: OnMissingPhoto
    output_feed: str


class CampaignPage(ResponseModel):
    """A page of campaigns, newest first."""

    campaigns: list[CampaignInfo]
    next: str | None


class DesignCount(ResponseModel):
    """How many rows get a design in a phase."""

    rule: int
    design: int
    rows: int


class PlannedPhase(ResponseModel):
    """A phase, in which the same rules count: the current one, whose `begin` is null, or one that begins later."""

    begin: datetime | None
    counts: list[DesignCount]


class UnclearRow(ResponseModel):
    """A row for which a rule could not be decided, and why."""

    key: str
    reason: str


class UnclearRule(ResponseModel):
    """For how many rows a rule could not be decided, and the first of them."""

    rule: int
    rows: int
    first: list[UnclearRow]


class JoinFindingsInfo(ResponseModel):
    """What a joined feed, by the `name` of the join, lacks or has more than once.

    It has no row for `unmatched` rows of the campaign, whose joined columns are empty. Its newest import has skipped
    `double` rows, since earlier ones have their keys; at most 10,000 are counted. Both with the first keys.
    """

    name: str
    feed: UUID
    unmatched: int
    unmatched_keys: list[str]
    double: int
    double_keys: list[str]


class CampaignPlan(ResponseModel):
    """Which rows get which design, now and in the phases of the next two months.

    `up_to_date` is false while a large feed is being planned, or a job of the campaign is working; then the counts are
    those of the last plan. `to_render` is how many images preparing a publication would render now, those of phases
    that begin within 24 hours included; null if it is not known, and `error_message` says why.
    """

    up_to_date: bool
    rows: int
    phases: list[PlannedPhase]
    to_render: int | None
    unclear: list[UnclearRule]
    joins: list[JoinFindingsInfo]
    error_message: str | None


@view_config(context=ApiCampaignCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_campaigns(context: ApiCampaignCollection, request: Request) -> dict[str, Any]:
    """List the workspace's campaigns."""
    with transaction(request) as db:
        rows, next_page = paginate(request, db, Campaign)
        campaigns = [CampaignInfo(**_summary(db, campaign)) for campaign in rows if context.includes(campaign)]
    return CampaignPage(campaigns=campaigns, next=next_page).model_dump(mode="json")


@view_config(
    context=ApiCampaignCollection,
    request_method="POST",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def post_campaign(context: ApiCampaignCollection, request: Request) -> Response:
    """Create a campaign, which prepares nothing yet."""
    body, workspace_id = read_body(request, CampaignRequest, MAX_ITEMS_BODY), request.api_key.workspace_id
    with transaction(request) as db:
        feed = db.get(Feed, (workspace_id, body.feed))
        if feed is None or feed.deleted_at:
            raise ProblemError(422, "unknown_feed", "The feed does not exist", {"feed": "Use the id of a feed"})
        settings = _settings(body, body.model_fields_set | {"outputs", "selection", "joins", "policy"})
        outputs = [Output.model_validate(output) for output in settings.pop("outputs")]
        columns = load_columns(db, Campaign(workspace_id=workspace_id, feed_id=feed.id, joins=settings["joins"]))
        _check_settings(db, workspace_id, body, columns.types)
        if body.photo_column is None:
            settings["photo_column"] = guess_photo_column(columns.types)
        rules = _rules(request, db, feed, columns.names, body.rules, former=(), designs=())
        try:
            campaign = create_campaign(db, feed, name=body.name, rules=rules, outputs=outputs, **settings)
        except (InvalidRulesError, InvalidConditionError) as error:
            raise invalid_rules(error, rules) from None
        _audit(db, request, "campaign.create", campaign)
        response = _details_response(request, db, campaign, status=201)
    response.location = f"{request.path_url.rstrip('/')}/{campaign.id}"
    return response


@view_config(context=ApiCampaign, request_method="GET", permission=Permission.API_READ)
def get_campaign(context: ApiCampaign, request: Request) -> Response:
    """Return a campaign with its rules and settings."""
    with transaction(request) as db:
        return _details_response(request, db, context.row)


@view_config(context=ApiCampaign, request_method="PATCH", permission=Permission.API_CAMPAIGNS_WRITE, require_csrf=False)
def patch_campaign(context: ApiCampaign, request: Request) -> Response:
    """Change the name, the rules or the settings of a campaign."""
    body = read_body(request, CampaignChangeRequest, MAX_ITEMS_BODY)
    with transaction(request) as db:
        campaign = lock_campaign(db, context.row)
        if "*" not in request.if_match and etag_of(campaign) not in request.if_match:
            raise ProblemError(412, "precondition_failed", "The campaign has changed since. Read it again, then retry")
        before = etag_of(campaign)
        _change(request, db, campaign, body)
        if etag_of(campaign) != before:
            _audit(db, request, "campaign.change", campaign, revision=campaign.revision)
        return _details_response(request, db, campaign)


@view_config(
    context=ApiCampaign, request_method="DELETE", permission=Permission.API_CAMPAIGNS_WRITE, require_csrf=False
)
def delete_campaign(context: ApiCampaign, request: Request) -> Response:
    """Delete a campaign; its output feed ends."""
    with transaction(request) as db:
        campaign = lock_campaign(db, context.row)
        remove_campaign(db, campaign)
        _audit(db, request, "campaign.delete", campaign)
    return Response(status=204)


@view_config(context=ApiCampaign, name="plan", request_method="GET", renderer="json", permission=Permission.API_READ)
def get_plan(context: ApiCampaign, request: Request) -> dict[str, Any]:
    """Return which rows get which design, and how many images would be rendered."""
    campaign = context.row
    with transaction(request) as db:
        feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
        is_large = feed.item_count > PLANNED_AT_ONCE
        with request.services.slow_requests.slot(campaign.workspace_id, when=is_large):
            campaign = db.get_one(Campaign, (campaign.workspace_id, campaign.id))
            if is_large and not is_planned(db, campaign):
                enqueue_advance(db, campaign)
            return _plan(db, campaign, is_large=is_large).model_dump(mode="json")


@view_config(
    context=ApiCampaign,
    name="prepare",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def prepare_publication(context: ApiCampaign, request: Request) -> dict[str, Any]:
    """Request a publication of the campaign as it is now; what is missing is rendered."""
    with transaction(request) as db:
        campaign = lock_campaign(db, context.row)
        request_publication(db, campaign)
        _audit(db, request, "campaign.prepare", campaign)
        return CampaignInfo(**_summary(db, campaign)).model_dump(mode="json")


@view_config(
    context=ApiCampaign,
    name="pause",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def pause_campaign(context: ApiCampaign, request: Request) -> dict[str, Any]:
    """Stop following the feed: what is public stays, and what was scheduled waits for a decision."""
    with transaction(request) as db:
        campaign = lock_campaign(db, context.row)
        if campaign.is_active:
            stop_following(db, campaign)
            _audit(db, request, "campaign.pause", campaign)
        return CampaignInfo(**_summary(db, campaign)).model_dump(mode="json")


@view_config(
    context=ApiCampaign,
    name="resume",
    request_method="POST",
    renderer="json",
    permission=Permission.API_CAMPAIGNS_WRITE,
    require_csrf=False,
)
def resume_campaign(context: ApiCampaign, request: Request) -> dict[str, Any]:
    """Follow the feed and the windows, beginning with a publication of the campaign as it is now."""
    with transaction(request) as db:
        campaign = lock_campaign(db, context.row)
        if not campaign.is_active:
            follow(db, campaign)
            _audit(db, request, "campaign.resume", campaign)
        return CampaignInfo(**_summary(db, campaign)).model_dump(mode="json")


def lock_campaign(db: Session, campaign: Campaign) -> Campaign:
    """Return a campaign, whose row no other transaction changes. Raises ProblemError if it was deleted since."""
    locked = db.get(Campaign, (campaign.workspace_id, campaign.id), with_for_update=FOR_NO_KEY_UPDATE)
    if locked is None or locked.deleted_at:
        raise ProblemError(404, "not_found", "There is no such campaign")
    return locked


def etag_of(campaign: Campaign) -> str:
    """Return the ETag of a campaign, which changes with its name, its rules and its settings."""
    parts = [campaign.name, campaign.revision, campaign.policy, campaign.photo_column]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def invalid_rules(error: InvalidRulesError | InvalidConditionError, rules: Sequence[DesignRule]) -> ProblemError:
    """Return the problem of rules, which names the rule and the field."""
    field = "rules"
    if isinstance(error, InvalidConditionError):
        field = f"rules.{next(n for n, rule in enumerate(rules) if rule.number == error.rule)}.condition"
    return ProblemError(422, "invalid", "The request is not valid", {field: str(error)})


def _change(request: Request, db: Session, campaign: Campaign, body: CampaignChangeRequest) -> None:
    if body.name is not None:
        campaign.name = body.name
    if "policy" in body.model_fields_set:
        _check_policy(campaign, body.policy)
    settings = _settings(body, body.model_fields_set)
    draft = Campaign(
        workspace_id=campaign.workspace_id, feed_id=campaign.feed_id, joins=settings.get("joins", campaign.joins)
    )
    columns = load_columns(db, draft)
    _check_settings(db, campaign.workspace_id, body, columns.types)
    changed = {name for name, value in settings.items() if getattr(campaign, name) != value}
    for name in changed:
        setattr(campaign, name, settings[name])
    former = campaign.design_rules
    if body.rules is not None:
        feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
        designs = used_designs(db, campaign)
        rules = _rules(request, db, feed, columns.names, body.rules, former=former, designs=designs)
    else:
        rules = former
    if rules != former or changed & {"outputs", "joins", "selection", "time_zone", "on_missing_photo"}:
        try:
            save_rules(db, campaign, rules)
            check_sizes(db, campaign, rules)
        except (InvalidRulesError, InvalidConditionError) as error:
            raise invalid_rules(error, rules) from None
        if campaign.is_active:
            request_publication(db, campaign)
    db.flush()


def _check_policy(campaign: Campaign, policy: PublishPolicy) -> None:
    """Deny a change of a policy with two approvals, which would let the key publish alone."""
    former = PublishPolicy.model_validate(campaign.policy)
    if former.approvals > 1 and policy != former:
        raise needs_approval()


def needs_approval() -> ProblemError:
    """Return the problem that only members can approve."""
    return ProblemError(
        403, "approval_required", "This campaign needs the approval of two members, which an API key cannot give"
    )


def _settings(body: CampaignSettings, names: Iterable[str]) -> dict[str, Any]:
    """Return the attributes of a campaign that a request sets."""
    values = {
        "time_zone": body.time_zone,
        "outputs": [Output.model_validate(output.model_dump()).model_dump(mode="json") for output in body.outputs],
        "selection": body.selection.parameter(),
        "joins": [join.model_dump(mode="json") for join in body.joins],
        "policy": body.policy.model_dump(mode="json"),
        "photo_column": body.photo_column,
        "on_missing_photo": str(body.on_missing_photo),
    }
    return {name: value for name, value in values.items() if name in names and value is not None}


def _check_settings(db: Session, workspace_id: UUID, body: CampaignSettings, columns: Iterable[str]) -> None:
    """Raise ProblemError for feeds and columns that do not exist."""
    errors, known = {}, set(columns)
    for number, join in enumerate(body.joins):
        feed = db.get(Feed, (workspace_id, join.feed))
        if feed is None or feed.deleted_at:
            errors[f"joins.{number}.feed"] = "Use the id of a feed"
        if join.column and join.column not in known:
            errors[f"joins.{number}.column"] = "The feed does not have this column"
    if body.photo_column and body.photo_column not in known:
        errors["photo_column"] = "The feed does not have this column"
    if body.selection.column and body.selection.column not in known:
        errors["selection.column"] = "The feed does not have this column"
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)


def _rules(
    request: Request,
    db: Session,
    feed: Feed,
    columns: Sequence[str],
    rules: Sequence[CampaignRule],
    *,
    former: Sequence[DesignRule],
    designs: Iterable[int],
) -> list[DesignRule]:
    """Return the rules of a request with numbers and complete mappings. Raise ProblemError."""
    numbers = {rule.number for rule in former}
    former_designs = {design.number for rule in former for design in rule.designs}
    given = {rule.number for rule in rules if rule.number} | numbers
    used = {design.number for rule in rules for design in rule.designs if design.number} | set(designs)
    errors: dict[str, str] = {}
    found = []
    for at, rule in enumerate(rules):
        if former and rule.number and rule.number not in numbers:
            errors[f"rules.{at}.number"] = "Use the number of a rule of the campaign, or leave it out"
        number = rule.number or next_number(given)
        given.add(number)
        built = []
        for n, design in enumerate(rule.designs):
            field = f"rules.{at}.designs.{n}"
            template, mapping = _template_of(request, db, feed, columns, design, field, errors)
            if former and design.number and design.number not in former_designs:
                errors[f"{field}.number"] = "Use the number of a design of the campaign, or leave it out"
            design_number = design.number or next_number(used)
            used.add(design_number)
            built.append(
                Design(
                    number=design_number, template=template, mapping=mapping, label=design.label, weight=design.weight
                )
            )
        values = {name: getattr(rule, name) for name in ("name", "condition", "is_enabled", "window")}
        found.append(DesignRule(number=number, designs=built, **values))
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    return found


def _template_of(
    request: Request,
    db: Session,
    feed: Feed,
    columns: Sequence[str],
    design: CampaignDesign,
    field: str,
    errors: dict[str, str],
) -> tuple[UUID | None, dict[str, str]]:
    """Return the template of a design and its whole mapping; add what is wrong to `errors`."""
    if design.template is None:
        return None, {}
    template = find_template(db, feed.workspace_id, design.template)
    if template is None:
        errors[f"{field}.template"] = "There is no such template. Use its id or slug"
        return None, {}
    check_template(request.api_key, template.id)
    fields = load_design(db, template).document.fields
    names = {each.name for each in fields}
    errors |= {
        f"{field}.mapping.{name}": "The template does not have this field" for name in design.mapping.keys() - names
    }
    for name, column in design.mapping.items():
        if column and not mapped_columns(column, columns):
            errors[f"{field}.mapping.{name}"] = "The feed does not have this column"
    if design.mapping.keys() >= names:
        return template.id, dict(design.mapping)
    rows = [item.data for item in list_items(db, feed, limit=SAMPLE)]
    return template.id, guess_mapping(fields, feed.columns, rows) | design.mapping


def _plan(db: Session, campaign: Campaign, *, is_large: bool) -> CampaignPlan:
    """Return the plan of a campaign; that of a small feed is brought up to date before."""
    error_message = None
    try:
        if not is_large:
            try_plan_campaign(db, campaign)
        to_render = sum(count_images_to_render(db, campaign).values())
    except (CampaignStoppedError, InvalidSettingsError, MissingTemplateError, UnknownSizeError) as error:
        to_render, error_message = None, str(error)
    now, rules = datetime.now(UTC), campaign.design_rules
    coming = phases(rules, ZoneInfo(campaign.time_zone), now, now + HORIZON)[:SHOWN_PHASES]
    return CampaignPlan(
        up_to_date=is_planned(db, campaign),
        rows=sum(count for _, count in campaign.counts),
        phases=[_phase(campaign, rules, phase) for phase in coming],
        to_render=to_render,
        unclear=[
            UnclearRule(
                rule=int(rule),
                rows=found["rows"],
                first=[UnclearRow(key=key, reason=reason) for key, reason in found["first"]],
            )
            for rule, found in campaign.unclear.items()
        ],
        joins=[
            JoinFindingsInfo(
                name=found.join.name,
                feed=found.feed.id,
                unmatched=found.unmatched,
                unmatched_keys=found.unmatched_keys,
                double=found.double,
                double_keys=found.double_keys,
            )
            for found in find_join_findings(db, campaign)
        ],
        error_message=error_message or campaign.error_message,
    )


def _phase(campaign: Campaign, rules: Sequence[DesignRule], phase: Phase) -> PlannedPhase:
    counts = count_by_design(campaign, phase.designs)
    active = [(rule, design) for rule in rules for design in rule.designs if design.number in phase.designs]
    return PlannedPhase(
        begin=phase.begin,
        counts=[
            DesignCount(rule=rule.number, design=design.number, rows=counts[design.number]) for rule, design in active
        ],
    )


def _summary(db: Session, campaign: Campaign) -> dict[str, Any]:
    public: Publication | None = get_public(db, campaign)
    return {
        "id": campaign.id,
        "name": campaign.name,
        "feed": campaign.feed_id,
        "revision": campaign.revision,
        "active": campaign.is_active,
        "public": public.number if public else None,
        "error_message": campaign.error_message,
        "created_at": campaign.created_at,
    }


def _details_response(request: Request, db: Session, campaign: Campaign, status: int = 200) -> Response:
    workspace = db.get_one(Workspace, campaign.workspace_id)
    details = CampaignDetails(
        **_summary(db, campaign),
        rules=[CampaignRuleInfo.model_validate(rule.model_dump()) for rule in campaign.design_rules],
        outputs=[RunOutput.model_validate(output) for output in campaign.outputs],
        time_zone=campaign.time_zone,
        selection=RowSelection.model_validate(campaign.selection),
        joins=[Join.model_validate(join) for join in campaign.joins],
        policy=PublishPolicy.model_validate(campaign.policy),
        photo_column=campaign.photo_column,
        on_missing_photo=OnMissingPhoto(campaign.on_missing_photo),
        output_feed=request.services.signed_urls.campaign_feed(workspace, campaign.id),
    )
    response = Response(json_body=details.model_dump(mode="json"), status=status)
    response.etag = etag_of(campaign)
    return response


def _audit(db: Session, request: Request, action: str, campaign: Campaign, **details: Any) -> None:
    record(db, campaign.workspace_id, request.actor, action, campaign.name, {"campaign": str(campaign.id), **details})
