"""The list of a campaign's publications. The page of one is in `publications.py`."""

from dataclasses import dataclass

from pyramid.view import view_config

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import PublicationState
from cwz_web.campaigns.publications import list_publications
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource, PublicationCollection
from cwz_web.views.campaign_page import (
    CampaignPage,
    CampaignTab,
    PublicationLine,
    publication_line,
    shared_values,
)
from cwz_web.web.request import Request
from cwz_web.workspaces.members import name_creators
from cwz_web.workspaces.models import Workspace


@dataclass(frozen=True)
class PublicationRow:
    """A publication, and who published it."""

    line: PublicationLine
    who: str


@dataclass(frozen=True, kw_only=True)
class PublicationsPage(CampaignPage):
    """Values of campaigns/publications.jinja2.

    Attributes:
        output_feed: The URL of the output feed, with the image's URL in `column`, one of `columns`.
    """

    publications: list[PublicationRow]
    columns: list[str]
    column: str
    output_feed: str


@view_config(
    context=PublicationCollection,
    request_method="GET",
    renderer="campaigns/publications.jinja2",
    permission=Permission.VIEW,
)
def show_publications(context: PublicationCollection, request: Request) -> PublicationsPage:
    """Show the publications of a campaign, newest first."""
    parent = context.__parent__
    assert isinstance(parent, CampaignResource)
    campaign = parent.row
    publications = list_publications(request.db, campaign)
    accounts = {each.published_by for each in publications if each.published_by}
    names = name_creators(request.db, campaign.workspace_id, accounts)
    rows = []
    for each in publications:
        who = names.get(each.published_by, "") if each.published_by else ""
        if each.state == PublicationState.PUBLISHED and not who:
            who = gettext("Schedule or API")
        rows.append(PublicationRow(publication_line(request, campaign, each), who))
    columns = load_columns(request.db, campaign).names
    column = request.GET.get("column", "")
    column = column if column in columns else ""
    workspace = request.db.get_one(Workspace, campaign.workspace_id)
    return PublicationsPage(
        **shared_values(request, campaign, CampaignTab.PUBLICATIONS),
        publications=rows,
        columns=columns,
        column=column,
        output_feed=request.services.signed_urls.campaign_feed(workspace, campaign.id, column),
    )
