"""What the tabs of a campaign's page share: its name, its tabs, what is public, what waits, and what is rendered."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.progress import pause_campaign, request_publication, resume_campaign
from cwz_web.campaigns.publications import get_public, list_waiting
from cwz_web.feeds.models import Feed
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.runs.models import Run
from cwz_web.runs.progress import progress_of
from cwz_web.views.feed_page import TabLink
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request


class CampaignTab(StrEnum):
    """A tab of the page of a campaign, as the last part of its path."""

    RULES = ""
    PUBLICATIONS = "publications"
    CHANNELS = "channels"
    SHOPS = "shops"
    CALENDAR = "calendar"
    SETTINGS = "settings"


TAB_LABELS = {
    CampaignTab.RULES: gettext_noop("Rules"),
    CampaignTab.PUBLICATIONS: gettext_noop("Publications"),
    CampaignTab.CHANNELS: gettext_noop("Channels"),
    CampaignTab.SHOPS: gettext_noop("Shops"),
    CampaignTab.CALENDAR: gettext_noop("Calendar"),
    CampaignTab.SETTINGS: gettext_noop("Settings"),
}


BADGES = {
    PublicationState.PREPARING: "info",
    PublicationState.DECIDING: "info",
    PublicationState.HELD: "warning",
    PublicationState.SCHEDULED: "info",
    PublicationState.PUBLISHED: "",
    PublicationState.DISCARDED: "",
}


@dataclass(frozen=True)
class RenderProgress:
    """A run that renders images of a campaign."""

    path: str
    rule: str
    done: int
    total: int
    percent: int


@dataclass(frozen=True)
class PublicationLine:
    """A publication with its state in words, the class of its badge, and its path."""

    publication: Publication
    state: str
    badge: str
    path: str


@dataclass(frozen=True, kw_only=True)
class CampaignStatus:
    """Values of campaigns/_status.jinja2.

    Attributes:
        campaign: The campaign.
        public: The publication that readers see.
        waiting: Those that wait for a decision or for their time.
        runs: What is rendered now.
        is_preparing: Whether a publication is prepared, so that the page looks again.
    """

    campaign: Campaign
    public: PublicationLine | None
    waiting: list[PublicationLine]
    runs: list[RenderProgress]
    is_preparing: bool


@dataclass(frozen=True, kw_only=True)
class CampaignPage(CampaignStatus):
    """Values of campaigns/_page.jinja2, which the tabs extend."""

    feed: Feed
    tabs: list[TabLink]
    can_edit: bool


def status_values(request: Request, campaign: Campaign) -> dict[str, Any]:
    """Return the values of CampaignStatus."""
    rules = {design.number: rule.name for rule in campaign.design_rules for design in rule.designs}
    unfinished = select(Run).where(
        Run.workspace_id == campaign.workspace_id, Run.campaign_id == campaign.id, Run.finished_at.is_(None)
    )
    public = get_public(request.db, campaign)
    runs = [_progress(request, run, rules) for run in request.db.scalars(unfinished.order_by(Run.id).limit(20))]
    return {
        "campaign": campaign,
        "public": public and publication_line(request, campaign, public),
        "waiting": [publication_line(request, campaign, each) for each in list_waiting(request.db, campaign)],
        "runs": runs,
        "is_preparing": bool(campaign.is_requested or runs),
    }


def shared_values(request: Request, campaign: Campaign, tab: CampaignTab) -> dict[str, Any]:
    """Return the values of CampaignPage, for the view model of a tab."""
    return {
        **status_values(request, campaign),
        "feed": request.db.get_one(Feed, (campaign.workspace_id, campaign.feed_id)),
        "tabs": [
            TabLink(gettext(label), campaign_path(request, campaign, *filter(None, [each.value])), each == tab)
            for each, label in TAB_LABELS.items()
        ],
        "can_edit": bool(request.has_permission(Permission.CAMPAIGN_EDIT)),
    }


def publication_line(request: Request, campaign: Campaign, publication: Publication) -> PublicationLine:
    """Return a publication as a line of a list."""
    state = PublicationState(publication.state)
    path = campaign_path(request, campaign, "publications", publication.id)
    if publication.id == campaign.public_id:
        return PublicationLine(publication, gettext("Public"), "success", path)
    return PublicationLine(publication, state.label, BADGES[state], path)


def campaign_path(request: Request, campaign: Campaign, *segments: object) -> str:
    """Return the path of a page of a campaign."""
    return request.path_in("campaigns", campaign.id, *segments)


@view_config(
    context=CampaignResource,
    name="status",
    request_method="GET",
    renderer="campaigns/_status.jinja2",
    permission=Permission.VIEW,
)
def show_status(context: CampaignResource, request: Request) -> CampaignStatus:
    """Show what is public, what waits and what is rendered; the page looks again while a publication is prepared."""
    return CampaignStatus(**status_values(request, context.row))


@view_config(context=CampaignResource, name="prepare", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def prepare_publication(context: CampaignResource, request: Request) -> Response:
    """Prepare a publication of the campaign as it is now."""
    request_publication(request.db, context.row)
    return _changed(context, request, "campaign.prepare")


@view_config(context=CampaignResource, name="resume", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def resume(context: CampaignResource, request: Request) -> Response:
    """Prepare publications when the feed changes and when windows begin and end."""
    resume_campaign(request.db, context.row)
    add_notice(
        request,
        gettext("The campaign follows its feed and its windows."),
        undo=campaign_path(request, context.row, "pause"),
    )
    return _changed(context, request, "campaign.resume")


@view_config(context=CampaignResource, name="pause", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def pause(context: CampaignResource, request: Request) -> Response:
    """Stop following the feed and the windows. What is public stays."""
    held = pause_campaign(request.db, context.row)
    text = gettext("The campaign is paused. What is public stays as it is.")
    if held:
        text = ngettext(
            "The campaign is paused. What is public stays: %(count)s scheduled publication waits for a decision.",
            "The campaign is paused. What is public stays: %(count)s scheduled publications wait for a decision.",
            len(held),
        )
    add_notice(request, text, undo=campaign_path(request, context.row, "resume"))
    return _changed(context, request, "campaign.pause")


def _changed(context: CampaignResource, request: Request, action: str) -> Response:
    request.audit(action, context.row.name, campaign=str(context.row.id))
    return HTTPSeeOther(campaign_path(request, context.row))


def _progress(request: Request, run: Run, rules: dict[int, str]) -> RenderProgress:
    done = run.done + run.incomplete + run.failed
    percent = progress_of(run).percent if run.total else 0
    return RenderProgress(request.path_in("runs", run.id), rules.get(run.design or 0, ""), done, run.total, percent)
