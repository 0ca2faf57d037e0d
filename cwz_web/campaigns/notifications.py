"""Notifications about publications: webhooks, Slack, and emails to those who can decide."""

from typing import Any

from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.notify.webhooks import Event, emit


def notify_ready(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication will be published without a decision."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_READY, describe(campaign, publication))


def notify_held(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication waits for a decision."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_HELD, describe(campaign, publication))


def notify_published(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication is public."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_PUBLISHED, describe(campaign, publication))


def describe(campaign: Campaign, publication: Publication) -> dict[str, Any]:
    """Return a publication as webhooks describe it."""
    counts = ("rows", "new", "changed", "removed", "unchanged", "updated", "kept", "missing", "findings")
    return {
        "id": str(publication.id),
        "campaign": str(campaign.id),
        "name": campaign.name,
        "number": publication.number,
        "state": publication.state,
        "publish_at": publication.publish_at,
        "published_at": publication.published_at,
        **{name: getattr(publication, name) for name in counts},
        "reasons": [reason["code"] for reason in publication.reasons],
    }
