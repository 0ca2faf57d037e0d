"""A row of a campaign: which rule takes it, why the others do not, and its images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pyramid.httpexceptions import HTTPNotFound
from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.campaigns.matching import InvalidConditionError, compile_condition
from cwz_web.campaigns.matching import Verdict as RuleVerdict
from cwz_web.campaigns.models import Campaign, CampaignRow, PublicationRow
from cwz_web.campaigns.planning import campaign_fields, read_sources, row_matcher
from cwz_web.campaigns.row_fields import RowField, load_cell
from cwz_web.campaigns.rules import DesignRule, active_designs
from cwz_web.feeds.models import Feed
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.values.formats import Unclear
from cwz_web.views.feed_page import row_path
from cwz_web.views.publication_head import (
    STATE_BADGES,
    Thumbnail,
    design_names,
    thumbnails,
)
from cwz_web.views.publication_rows import ROW_STATES, ShownDecision, describe_decision
from cwz_web.web.request import Request
from cwz_web.web.text import shorten


@dataclass(frozen=True)
class ExplainedRule:
    """A rule and a row: whether the rule takes it, why, and the values that the rule compares.

    Attributes:
        outcome: `taken` for the rule that the row has its design of now; `other` for one that would take it; else ``.
    """

    name: str
    condition: str
    outcome: str
    text: str
    values: list[tuple[str, str]]


@dataclass(frozen=True)
class DesignImage:
    """The image of a row with a design, and the decision about it."""

    design: str
    is_current: bool
    image: Thumbnail | None
    image_path: str
    state: str
    badge: str
    decision: ShownDecision | None


@dataclass(frozen=True)
class CampaignRowPage:
    """What publications/row.jinja2 shows; `error` says why the rules cannot be evaluated."""

    campaign: Campaign
    key: str
    feed_path: str
    rules: list[ExplainedRule]
    error: str
    images: list[DesignImage]


@view_config(
    context=CampaignResource,
    name="row",
    request_method="GET",
    renderer="publications/row.jinja2",
    permission=Permission.VIEW,
)
def show_campaign_row(context: CampaignResource, request: Request) -> CampaignRowPage:
    """Show which rule takes a row, why the others do not, and its images."""
    campaign, key, db = context.row, request.GET.get("key", ""), request.db
    planned = db.get(CampaignRow, (campaign.workspace_id, campaign.id, key))
    newest = db.scalar(
        select(PublicationRow).where(
            PublicationRow.workspace_id == campaign.workspace_id,
            PublicationRow.campaign_id == campaign.id,
            PublicationRow.key == key,
            PublicationRow.until.is_(None),
        )
    )
    rules, zone = campaign.design_rules, ZoneInfo(campaign.time_zone)
    active = active_designs(rules, zone, datetime.now(UTC))
    feed, error = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id)), ""
    explained: list[ExplainedRule] = []
    try:
        explained = _explain(request, campaign, key, active)
    except InvalidConditionError as problem:
        error = str(problem)
    if not explained and not error and newest is None and planned is None:
        raise HTTPNotFound
    return CampaignRowPage(
        campaign=campaign,
        key=key,
        feed_path=row_path(request, feed, key),
        rules=explained,
        error=error,
        images=_design_images(request, campaign, newest, active) if newest else [],
    )


def _explain(request: Request, campaign: Campaign, key: str, active: Iterable[int]) -> list[ExplainedRule]:
    """Return what each rule says about a row of the feed; nothing if the feed has no such row."""
    matcher, fields = row_matcher(request.db, campaign), campaign_fields(request.db, campaign)
    values = read_sources(request.db, campaign, key, matcher.sources)
    if values is None:
        return []
    verdicts, known = matcher.explain(values), dict(zip(matcher.sources, values, strict=True))
    counting = set(active)
    explained: list[ExplainedRule] = []
    winner = ""
    for rule in campaign.design_rules:
        verdict = verdicts.get(rule.number)
        is_open = any(design.number in counting for design in rule.designs)
        outcome, text = _describe_verdict(rule, verdict, winner, key, is_open=is_open)
        if outcome == "taken":
            winner = rule.name
        explained.append(ExplainedRule(rule.name, rule.condition, outcome, text, _compared(rule, fields, known)))
    return explained


def _describe_verdict(
    rule: DesignRule, verdict: RuleVerdict | None, winner: str, key: str, *, is_open: bool
) -> tuple[str, str]:
    if not rule.is_enabled:
        return "", gettext("The rule is disabled.")
    if isinstance(verdict, Unclear):
        return "", gettext("It cannot be decided: the row %(reason)s.", reason=verdict.reason)
    if not verdict:
        return "", gettext("The row does not meet its condition.")
    if not is_open:
        return "other", gettext("Takes the row while its window is open. It is closed now.")
    if winner:
        return "other", gettext("Would take the row, but “%(rule)s” comes first.", rule=winner)
    label = rule.design_of(key).label
    if label:
        return "taken", gettext("Takes the row, with the design “%(label)s”.", label=label)
    return "taken", gettext("Takes the row.")


def _compared(
    rule: DesignRule, fields: Mapping[str, RowField], known: Mapping[Any, str | None]
) -> list[tuple[str, str]]:
    """Return the names and the values of what a rule compares."""
    expression = compile_condition(rule, fields) if rule.is_enabled else None
    found = []
    for name in sorted(expression.fields) if expression else ():
        field = fields[name]
        texts = [load_cell(known.get(source)) for source in field.sources]
        found.append((field.label, shorten(" · ".join(text for text in texts if text), 200)))
    return found


def _design_images(
    request: Request, campaign: Campaign, row: PublicationRow, active: Iterable[int]
) -> list[DesignImage]:
    counting = set(active)
    names = design_names(campaign.rules)
    current = next((design for design in row.designs if design in counting), None)
    own = {design: (row.images.get(str(design)) or {}) for design in row.designs}
    find = thumbnails(request, campaign, [image.get("i") for image in own.values()], {row.key: row})
    found = []
    for design, image in own.items():
        ids = image.get("i")
        state = image.get("s", "missing")
        found.append(
            DesignImage(
                design=names.get(design, gettext("Former design")),
                is_current=design == current,
                image=find(row.key, ids),
                image_path=request.path_in("images", ids[0]) if ids and ids[0] else "",
                state=gettext(ROW_STATES[state]),
                badge=STATE_BADGES.get(state, "success"),
                decision=describe_decision(request, campaign, (row.decisions or {}).get(str(design))),
            )
        )
    return found
