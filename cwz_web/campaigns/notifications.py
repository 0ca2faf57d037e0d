"""Notifications about publications: webhooks, Slack, and emails to those who can decide."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.policy import Reason
from cwz_web.i18n import gettext, number
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.workspaces.members import email_members
from cwz_web.workspaces.models import Role, Workspace

# The roles that can decide about publications: those with the permission campaign.approve.
APPROVERS = (Role.ADMIN, Role.USER)
EMAIL_INTERVAL = timedelta(hours=1)


def notify_ready(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication will be published without a decision."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_READY, describe(campaign, publication))


def notify_held(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication waits for a decision; by email at most once an hour."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_HELD, describe(campaign, publication))
    now = datetime.now(UTC)
    if campaign.notified_at is None or campaign.notified_at <= now - EMAIL_INTERVAL:
        campaign.notified_at = now
        workspace = db.get_one(Workspace, campaign.workspace_id)
        email_members(db, workspace.id, APPROVERS, lambda: _held_email(workspace, campaign, publication))


def notify_published(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Notify that a publication is public."""
    emit(db, campaign.workspace_id, Event.PUBLICATION_PUBLISHED, describe(campaign, publication))


def _held_email(workspace: Workspace, campaign: Campaign, publication: Publication) -> EmailMessage:
    subject = gettext(
        "%(workspace)s: a publication of %(campaign)s waits for a decision",
        workspace=workspace.name,
        campaign=campaign.name,
    )
    counts = gettext(
        "Rows: %(rows)s. New: %(new)s. Changed: %(changed)s. Removed: %(removed)s.",
        **{name: number(getattr(publication, name)) for name in ("rows", "new", "changed", "removed")},
    )
    reasons = (f"{Reason.model_validate(reason).describe()}." for reason in publication.reasons)
    path = f"/w/{workspace.slug}/campaigns/{campaign.id}/publications/{publication.id}"
    why = gettext(
        "You receive this email because you can approve publications of %(workspace)s.", workspace=workspace.name
    )
    button = (gettext("Review publication"), path)
    return EmailMessage(subject, (counts, " ".join(reasons)), button, why, Topic.PUBLICATIONS)


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
