"""The form of a design rule says what the rule would take and render while it is typed; nothing is saved."""

from dataclasses import dataclass
from uuid import UUID

from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign, PublicationRow
from cwz_web.campaigns.rule_counts import RuleCount, count_rule
from cwz_web.campaigns.rules import DesignRule
from cwz_web.campaigns.targets import MissingTemplateError
from cwz_web.generation.models import Image
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.views.campaign_rule_form import rule_of_form
from cwz_web.views.campaign_rules import remaining_images
from cwz_web.views.images import image_links
from cwz_web.web.forms import FieldError, typed_values
from cwz_web.web.request import Request


@dataclass(frozen=True)
class RuleCountPart:
    """What campaigns/_rule_count.jinja2 shows.

    Attributes:
        count: what the rule would take; None if the form is not complete.
        problem: why it is not known.
        has_window: whether the rule counts only in a window.
        samples: the paths of thumbnails of rows that it takes, as far as they have images.
        remaining: how many images the quota has left this month; None for no limit.
    """

    count: RuleCount | None
    problem: str = ""
    has_window: bool = False
    samples: tuple[str, ...] = ()
    remaining: int | None = None


@view_config(
    context=CampaignResource,
    name="rule-count",
    request_method="POST",
    renderer="campaigns/_rule_count.jinja2",
    permission=Permission.CAMPAIGN_EDIT,
)
def show_rule_count(context: CampaignResource, request: Request) -> RuleCountPart:
    """Show what the rule of the form would take and render, and save nothing."""
    campaign = context.row
    try:
        rule, is_complete = rule_of_form(request, campaign, typed_values(request.POST))
        count = count_rule(request.db, campaign, _with_rule(campaign, rule), rule)
    except FieldError as error:
        return RuleCountPart(None, error.message)
    except (InvalidConditionError, InvalidSettingsError, MissingTemplateError, UnknownSizeError) as error:
        return RuleCountPart(None, str(error))
    if not is_complete:
        count.to_render = None
    return RuleCountPart(
        count,
        has_window=rule.window is not None,
        samples=_samples(request, campaign, count.keys),
        remaining=remaining_images(request),
    )


def _with_rule(campaign: Campaign, rule: DesignRule) -> list[DesignRule]:
    """Return the rules of a campaign with one of them replaced, or with a new one before the last."""
    rules = campaign.design_rules
    enabled = rule.model_copy(update={"is_enabled": True})
    if any(each.number == rule.number for each in rules):
        return [enabled if each.number == rule.number else each for each in rules]
    return [*rules[:-1], enabled, rules[-1]]


def _samples(request: Request, campaign: Campaign, keys: list[str]) -> tuple[str, ...]:
    """Return the paths of thumbnails of rows: of the first image of each in the newest state of the timeline."""
    rows = request.db.scalars(
        select(PublicationRow).where(
            PublicationRow.workspace_id == campaign.workspace_id,
            PublicationRow.campaign_id == campaign.id,
            PublicationRow.until.is_(None),
            PublicationRow.key.in_(keys),
        )
    )
    first: dict[str, UUID] = {}
    for row in rows:
        found = (row.images[number]["i"] for number in map(str, row.designs) if number in row.images)
        image = next((ids[0] for ids in found if ids and ids[0]), None)
        if image:
            first[row.key] = UUID(image)
    if not first:
        return ()
    own = select(Image).where(Image.workspace_id == campaign.workspace_id, Image.id.in_(first.values()))
    paths = {link.image.id: link.path for link in image_links(request, list(request.db.scalars(own)))}
    return tuple(paths[first[key]] for key in keys if key in first and first[key] in paths)
