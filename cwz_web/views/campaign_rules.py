"""The rules of a campaign: the list of them with the rows that each takes, and what changes their order."""

import base64
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.campaigns.editing import next_number, save_rules, used_designs
from cwz_web.campaigns.joins import find_join_findings
from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign, PublicationRow
from cwz_web.campaigns.planning import campaign_fields, count_by_design, is_planned
from cwz_web.campaigns.progress import CampaignStoppedError, enqueue_advance, request_publication, try_plan_campaign
from cwz_web.campaigns.rules import (
    MAX_RULE_NAME,
    MAX_RULES,
    Design,
    DesignRule,
    InvalidRulesError,
    active_designs,
)
from cwz_web.campaigns.targets import MissingTemplateError, count_images_to_render
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Image, Template
from cwz_web.generation.usage import monthly_usage
from cwz_web.i18n import gettext, ngettext
from cwz_web.i18n import number as as_number
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.views.campaign_designs import preview_path
from cwz_web.views.campaign_page import CampaignPage, CampaignTab, campaign_path, shared_values
from cwz_web.views.images import image_links
from cwz_web.views.rule_texts import describe_condition, describe_joins, describe_window
from cwz_web.web.forms import Form, read_form
from cwz_web.web.notices import MAX_FIELD, add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

# Feeds with more rows are planned by a job, and their missing images are counted on request.
MAX_ROWS_AT_ONCE = 10_000
MAX_SAMPLES = 5


class RuleForm(Form):
    """The rule that a button is for."""

    number: Annotated[int, Field(ge=1, le=32_000)]


class MoveForm(RuleForm):
    """Where a rule moves to: its place among the others, from 0."""

    place: Annotated[int, Field(ge=0, le=MAX_RULES)]


class RestoreForm(Form):
    """A deleted rule, as `pack_rule` returns it, and its place."""

    rule: Annotated[str, Field(max_length=MAX_FIELD)]
    place: Annotated[int, Field(ge=0, le=MAX_RULES)]


@dataclass(frozen=True)
class DesignLine:
    """A design of a rule.

    Attributes:
        name: the name of its template, or that it is the original photo.
        path: the path of the template; "" for the original photo.
        preview: the path of an image of the template.
        label: its label, if the rule has several designs.
        share: its share of the rule's rows in percent.
        rows: how many rows get it in the current phase; None if they are not counted yet.
    """

    name: str
    path: str
    preview: str
    label: str
    share: int
    rows: int | None


@dataclass(frozen=True)
class RuleCard:
    """A rule of the list.

    Attributes:
        condition: its condition in words; "" if it has none, or is too complex for words.
        window: when it counts, in words.
        is_closed: whether its window is not open now.
        takes: how many rows it takes in the current phase, in words.
        missing: how many images would be rendered, in words; "" if none, or not counted.
        samples: the paths of thumbnails of images that exist.
        unclear: for how many rows it could not be decided, and why, in words.
    """

    rule: DesignRule
    place: int
    is_last: bool
    condition: str
    window: str
    is_closed: bool
    designs: list[DesignLine]
    takes: str
    missing: str
    samples: list[str]
    unclear: str


@dataclass(frozen=True, kw_only=True)
class RulesPage(CampaignPage):
    """Values of campaigns/rules.jinja2.

    Attributes:
        rules: The rules in their order.
        is_counted: Whether the rows are counted; otherwise a job counts them.
        problem: Why they cannot be.
        missing: How many images would be rendered in all; None if they are not counted.
        remaining: How many images the quota has left this month; None for no limit.
        can_count: Whether the missing images are counted on request.
        can_add: Whether there can be more rules.
        time_zone: The time zone of the windows.
        join_findings: What joined feeds lack or have more than once, as sentences.
    """

    rules: list[RuleCard]
    is_counted: bool
    problem: str
    missing: int | None
    remaining: int | None
    can_count: bool
    can_add: bool
    time_zone: str
    join_findings: list[str]


@page_view("campaigns/rules.jinja2", "campaigns/_rules.jinja2", context=CampaignResource, permission=Permission.VIEW)
def show_rules(context: CampaignResource, request: Request) -> RulesPage:
    """Show the rules with the rows that each takes."""
    campaign = context.row
    problem, is_counted = _update_plan(request.db, campaign)
    is_asked = request.GET.get("count") == "images"
    missing = None
    if is_counted and not problem and (is_asked or _is_small(request.db, campaign)):
        try:
            missing = count_images_to_render(request.db, campaign)
        except (InvalidSettingsError, MissingTemplateError, UnknownSizeError) as error:
            problem = str(error)
    rules, can_add = campaign.design_rules, len(campaign.design_rules) < MAX_RULES
    return RulesPage(
        **shared_values(request, campaign, CampaignTab.RULES),
        rules=_cards(request, campaign, rules, missing, is_counted=is_counted),
        is_counted=is_counted,
        problem="" if problem == campaign.error_message else problem,
        missing=None if missing is None else sum(missing.values()),
        remaining=remaining_images(request),
        can_count=is_counted and missing is None and not problem,
        can_add=can_add,
        time_zone=campaign.time_zone,
        join_findings=describe_joins(find_join_findings(request.db, campaign)) if is_counted else [],
    )


@view_config(context=CampaignResource, name="move-rule", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def move_rule(context: CampaignResource, request: Request) -> Response:
    """Move a rule to another place; the last rule stays the last one."""
    form = read_form(MoveForm, request.POST).value
    if form is None:
        raise HTTPUnprocessableEntity(gettext("Choose a rule and its place"))

    def move(rules: list[DesignRule]) -> list[DesignRule]:
        rule = _find(rules, form.number)
        others = [each for each in rules if each is not rule]
        place = min(form.place, len(others) - 1)
        return [*others[:place], rule, *others[place:]]

    return _change(context, request, move)


@view_config(context=CampaignResource, name="toggle-rule", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def toggle_rule(context: CampaignResource, request: Request) -> Response:
    """Disable a rule, or enable it again."""
    number = _number(request)

    def toggle(rules: list[DesignRule]) -> list[DesignRule]:
        rule = _find(rules, number)
        changed = rule.model_copy(update={"is_enabled": not rule.is_enabled})
        return [changed if each is rule else each for each in rules]

    return _change(context, request, toggle)


@view_config(
    context=CampaignResource, name="duplicate-rule", request_method="POST", permission=Permission.CAMPAIGN_EDIT
)
def duplicate_rule(context: CampaignResource, request: Request) -> Response:
    """Add a copy of a rule before it, disabled."""
    number = _number(request)

    def duplicate(rules: list[DesignRule]) -> list[DesignRule]:
        rule = _find(rules, number, any_place=True)
        copy = with_new_numbers(rule, rules, used_designs(request.db, context.row))
        name = f"{rule.name[: MAX_RULE_NAME - 2]} 2"
        copy = copy.model_copy(update={"name": name, "is_enabled": False})
        place = rules.index(rule)
        return [*rules[:place], copy, *rules[place:]]

    return _change(context, request, duplicate)


@view_config(context=CampaignResource, name="delete-rule", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def delete_rule(context: CampaignResource, request: Request) -> Response:
    """Delete a rule. The notice restores it."""
    number = _number(request)
    rules = context.row.design_rules
    rule = _find(rules, number)
    packed = pack_rule(rule)
    text = gettext("Deleted the rule “%(name)s”.", name=rule.name)
    if len(packed) <= MAX_FIELD:
        undo = campaign_path(request, context.row, "restore-rule")
        add_notice(request, text, undo=undo, rule=packed, place=str(rules.index(rule)))
    else:
        add_notice(request, text)
    return _change(context, request, lambda rules: [each for each in rules if each.number != number])


@view_config(context=CampaignResource, name="restore-rule", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def restore_rule(context: CampaignResource, request: Request) -> Response:
    """Add a rule that was deleted at its former place."""
    form = read_form(RestoreForm, request.POST).value
    try:
        rule = unpack_rule(form.rule) if form else None
    except ValueError:
        rule = None
    if form is None or rule is None:
        raise HTTPUnprocessableEntity(gettext("This rule cannot be restored. Add it again"))

    def restore(rules: list[DesignRule]) -> list[DesignRule]:
        place = min(form.place, len(rules) - 1)
        is_free = not _numbers(rules) & _numbers([rule])
        used = used_designs(request.db, context.row)
        return [*rules[:place], rule if is_free else with_new_numbers(rule, rules, used), *rules[place:]]

    return _change(context, request, restore)


def save_and_plan(request: Request, campaign: Campaign, rules: Sequence[DesignRule]) -> None:
    """Replace the rules of a campaign, and let it follow them. Raises InvalidRulesError and InvalidConditionError."""
    save_rules(request.db, campaign, rules)
    campaign.error_message = None
    if campaign.is_active:
        request_publication(request.db, campaign)
    elif not _is_small(request.db, campaign):
        enqueue_advance(request.db, campaign)


def remaining_images(request: Request) -> int | None:
    """Return how many images the quota of the workspace has left this month; None for no limit."""
    quota = request.services.quotas.of(request.workspace.workspace_id, request.workspace.plan_status)
    if quota.limit is None:
        return None
    return max(quota.limit - monthly_usage(request.db, quota.workspace_id, quota.workspace_id), 0)


def lock_campaign(db: Session, campaign: Campaign) -> None:
    """Wait for other changes of a campaign, and read it again."""
    db.refresh(campaign, with_for_update=FOR_NO_KEY_UPDATE)


def with_new_numbers(rule: DesignRule, rules: Sequence[DesignRule], used: Iterable[int]) -> DesignRule:
    """Return a rule with a number that no other rule has, and numbers of designs that were never used."""
    number = next_number(used)
    designs = [design.model_copy(update={"number": number + place}) for place, design in enumerate(rule.designs)]
    return rule.model_copy(update={"number": next_number(each.number for each in rules), "designs": designs})


def pack_rule(rule: DesignRule) -> str:
    """Return a rule as a short text, for the field of a form."""
    return base64.urlsafe_b64encode(zlib.compress(rule.model_dump_json().encode(), 9)).decode()


def unpack_rule(text: str) -> DesignRule:
    """Return the rule of a text. Raises ValueError."""
    try:
        unpacker = zlib.decompressobj()
        return DesignRule.model_validate_json(unpacker.decompress(base64.urlsafe_b64decode(text), 100_000))
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _change(
    context: CampaignResource, request: Request, change: Callable[[list[DesignRule]], list[DesignRule]]
) -> Response:
    campaign = context.row
    lock_campaign(request.db, campaign)
    try:
        save_and_plan(request, campaign, change(campaign.design_rules))
    except (InvalidRulesError, InvalidConditionError, ValidationError) as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    request.audit("campaign.rules", campaign.name, campaign=str(campaign.id))
    return HTTPSeeOther(campaign_path(request, campaign))


def _number(request: Request) -> int:
    form = read_form(RuleForm, request.POST).value
    if form is None:
        raise HTTPUnprocessableEntity(gettext("Choose a rule"))
    return form.number


def _find(rules: Sequence[DesignRule], number: int, *, any_place: bool = False) -> DesignRule:
    """Return a rule, which is not the last one unless that is allowed. Raises HTTPUnprocessableEntity."""
    rule = next((each for each in (rules if any_place else rules[:-1]) if each.number == number), None)
    if rule is None:
        raise HTTPUnprocessableEntity(
            gettext("The campaign has no such rule any more, or it is the last one, which stays")
        )
    return rule


def _numbers(rules: Sequence[DesignRule]) -> set[tuple[str, int]]:
    designs = {("design", design.number) for rule in rules for design in rule.designs}
    return designs | {("rule", rule.number) for rule in rules}


def _is_small(db: Session, campaign: Campaign) -> bool:
    return db.get_one(Feed, (campaign.workspace_id, campaign.feed_id)).item_count <= MAX_ROWS_AT_ONCE


def _update_plan(db: Session, campaign: Campaign) -> tuple[str, bool]:
    """Plan the rows of a small feed, and let a job plan those of a large one.

    Returns why they cannot be planned, and whether they are.
    """
    if is_planned(db, campaign):
        return "", True
    if not _is_small(db, campaign):
        enqueue_advance(db, campaign)
        return "", False
    try:
        if not try_plan_campaign(db, campaign):
            return "", False
    except CampaignStoppedError as error:
        return str(error), False
    if campaign.is_active:
        enqueue_advance(db, campaign)
    return "", True


def _cards(
    request: Request,
    campaign: Campaign,
    rules: Sequence[DesignRule],
    missing: Mapping[int, int] | None,
    *,
    is_counted: bool,
) -> list[RuleCard]:
    zone, now = ZoneInfo(campaign.time_zone), datetime.now(UTC)
    fields = campaign_fields(request.db, campaign)
    counts = count_by_design(campaign, active_designs(rules, zone, now)) if is_counted else None
    templates = _templates(request.db, campaign, rules)
    samples = _samples(request, campaign)
    total = sum(count for _, count in campaign.counts)
    cards = []
    for place, rule in enumerate(rules):
        numbers = [design.number for design in rule.designs]
        taken = None if counts is None else sum(counts[number] for number in numbers)
        to_render = sum((missing or {}).get(number, 0) for number in numbers)
        cards.append(
            RuleCard(
                rule=rule,
                place=place,
                is_last=place == len(rules) - 1,
                condition=describe_condition(rule, fields),
                window=describe_window(rule.window, zone),
                is_closed=rule.is_enabled and rule.window is not None and not rule.window.is_open(zone, now),
                designs=_design_lines(request, rule, templates, counts),
                takes="" if taken is None else _takes(taken, total),
                missing=_to_render(to_render) if to_render else "",
                samples=[path for number in numbers for path in samples.get(number, ())][:MAX_SAMPLES],
                unclear=_unclear(campaign, rule),
            )
        )
    return cards


def _takes(rows: int, total: int) -> str:
    return ngettext("Takes %(rows)s of %(count)s row", "Takes %(rows)s of %(count)s rows", total, rows=as_number(rows))


def _to_render(images: int) -> str:
    return ngettext("%(count)s image to render", "%(count)s images to render", images)


def _unclear(campaign: Campaign, rule: DesignRule) -> str:
    found = campaign.unclear.get(str(rule.number))
    if not found or not found["rows"]:
        return ""
    key, reason = found["first"][0]
    return ngettext(
        "Could not be decided for %(count)s row: the row %(key)s %(reason)s",
        "Could not be decided for %(count)s rows, which it does not take. The first one is %(key)s: it %(reason)s",
        found["rows"],
        key=key,
        reason=reason,
    )


def _design_lines(
    request: Request, rule: DesignRule, templates: Mapping[UUID, Template], counts: Counter[int] | None
) -> list[DesignLine]:
    weights = sum(design.weight for design in rule.designs)
    lines = []
    for design in rule.designs:
        template = templates.get(design.template) if design.template else None
        lines.append(
            DesignLine(
                name=_design_name(design, template),
                path=request.path_in("templates", template.id) if template else "",
                preview=preview_path(request, template) if template else "",
                label=design.label,
                share=round(100 * design.weight / weights),
                rows=None if counts is None else counts[design.number],
            )
        )
    return lines


def _design_name(design: Design, template: Template | None) -> str:
    if design.template is None:
        return gettext("Original photo")
    return template.name if template else gettext("Deleted template")


def _templates(db: Session, campaign: Campaign, rules: Sequence[DesignRule]) -> dict[UUID, Template]:
    ids = {design.template for rule in rules for design in rule.designs if design.template}
    found = select(Template).where(
        Template.workspace_id == campaign.workspace_id, Template.id.in_(ids), Template.deleted_at.is_(None)
    )
    return {template.id: template for template in db.scalars(found)}


def _samples(request: Request, campaign: Campaign) -> dict[int, list[str]]:
    """Return the paths of thumbnails of a few rows of each design, of those images that exist in the newest state."""
    keys = {key for keys in campaign.samples.values() for key in keys}
    rows = request.db.scalars(
        select(PublicationRow).where(
            PublicationRow.workspace_id == campaign.workspace_id,
            PublicationRow.campaign_id == campaign.id,
            PublicationRow.until.is_(None),
            PublicationRow.key.in_(keys),
        )
    )
    images = {row.key: row.images for row in rows}
    first: dict[int, list[UUID]] = {}
    for number, sampled in campaign.samples.items():
        found = [images[key].get(number, {}).get("i") for key in sampled if key in images]
        first[int(number)] = [UUID(ids[0]) for ids in found if ids and ids[0]]
    wanted = {each for ids in first.values() for each in ids}
    known = select(Image).where(Image.workspace_id == campaign.workspace_id, Image.id.in_(wanted))
    links = image_links(request, list(request.db.scalars(known))) if wanted else []
    paths = {link.image.id: link.path for link in links}
    return {number: [paths[each] for each in ids if each in paths] for number, ids in first.items()}
