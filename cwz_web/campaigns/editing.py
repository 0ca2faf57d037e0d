"""Creating campaigns and changing their rules."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.campaigns.matching import compile_condition
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.planning import campaign_fields
from cwz_web.campaigns.publications import hold_scheduled
from cwz_web.campaigns.rules import RULES, Design, DesignRule, InvalidRulesError, check_rules
from cwz_web.feeds.columns import ColumnType, normalize_name
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.i18n import gettext
from cwz_web.imaging.encoders import Output
from cwz_web.runs.mapping import SYNONYMS


def create_campaign(
    db: Session,
    feed: Feed,
    *,
    name: str,
    rules: Sequence[DesignRule],
    outputs: Sequence[Output],
    started_by: UUID | None = None,
    **settings: Any,
) -> Campaign:
    """Create a campaign, which prepares nothing yet.

    Args:
        db: the caller's transaction.
        feed: the rows.
        name: for people.
        rules: the rules.
        outputs: each row has an image for each.
        started_by: the account that it belongs to.
        settings: other attributes of the campaign.

    Raises:
        InvalidRulesError: the rules contradict each other, or a template does not have a size of the outputs.
        InvalidConditionError: a condition cannot be evaluated for the feed.
    """
    campaign = Campaign(
        workspace_id=feed.workspace_id,
        id=uuid7(),
        name=name,
        feed_id=feed.id,
        rules=[],
        outputs=[output.model_dump(mode="json") for output in outputs],
        started_by=started_by,
        **{"joins": [], **settings},
    )
    db.add(campaign)
    db.flush()
    save_rules(db, campaign, rules)
    check_sizes(db, campaign, rules)
    return campaign


def save_rules(db: Session, campaign: Campaign, rules: Sequence[DesignRule]) -> None:
    """Replace the rules of a campaign, in the caller's transaction.

    Errors as for create_campaign; sizes are not checked, so that a rule can be disabled whose template has lost one.
    """
    check_rules(rules)
    fields = campaign_fields(db, campaign)
    for rule in rules:
        compile_condition(rule, fields)
    campaign.rules = RULES.dump_python(list(rules), mode="json")
    campaign.revision += 1
    db.flush()


def check_sizes(db: Session, campaign: Campaign, rules: Iterable[DesignRule]) -> None:
    """Check that the templates of enabled rules have the sizes of a campaign's outputs. Raises InvalidRulesError."""
    sizes = list(dict.fromkeys(output["size"] for output in campaign.outputs))
    for rule in rules:
        for design in rule.designs if rule.is_enabled else ():
            template = db.get(Template, (campaign.workspace_id, design.template)) if design.template else None
            if template is None or template.deleted_at:
                continue
            known = load_design(db, template).document.size_names
            unknown = next((size for size in sizes if size not in known), None)
            if unknown is not None:
                raise InvalidRulesError(
                    gettext(
                        "The template “%(template)s” of the rule “%(rule)s” lacks the size “%(size)s”, in which the "
                        "campaign renders each row. Add the size, or choose another template",
                        template=template.name,
                        rule=rule.name,
                        size=unknown,
                    )
                )


def delete_campaign(db: Session, campaign: Campaign) -> None:
    """Delete a campaign, in the caller's transaction. It can be restored; then it is paused."""
    hold_scheduled(db, campaign)
    campaign.deleted_at, campaign.next_at = datetime.now(UTC), None
    campaign.is_active = campaign.is_requested = False


def next_number(numbers: Iterable[int]) -> int:
    """Return a number for a new rule or design."""
    return max(numbers, default=0) + 1


def catch_all(template: UUID | None, mapping: Mapping[str, str], name: str) -> DesignRule:
    """Return the rule that takes all rows, of a campaign without other rules."""
    return DesignRule(number=1, name=name, designs=[Design(number=1, template=template, mapping=dict(mapping))])


def guess_photo_column(columns: Mapping[str, ColumnType]) -> str:
    """Return the column of the original photos, by its type or its name; "" if there is none."""
    found = (name for name, column_type in columns.items() if column_type == ColumnType.IMAGE)
    named = (name for name in columns if normalize_name(name) in SYNONYMS["image"])
    return next(found, None) or next(named, "")


def used_designs(db: Session, campaign: Campaign) -> set[int]:
    """Return the numbers of the designs that the rules of a campaign or of its publications have."""
    publications = select(Publication.rules).where(
        Publication.workspace_id == campaign.workspace_id, Publication.campaign_id == campaign.id
    )
    stored = [campaign.rules, *db.scalars(publications)]
    return {design["number"] for rules in stored for rule in rules for design in rule["designs"]}
