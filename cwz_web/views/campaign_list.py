"""The list of campaigns, deleted ones included, and restoring one."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.campaign_list import CAMPAIGN_SORTS, ListedCampaign, find_campaigns
from cwz_web.campaigns.models import Campaign
from cwz_web.feeds.models import Feed
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignCollection
from cwz_web.web.forms import Form, read_form
from cwz_web.web.lists import Filter, ListControls, ListForm, choose_sort, keep_url, read_list_form
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request


class CampaignListForm(ListForm):
    """Which campaigns are listed."""

    state: Literal["", "deleted"] = ""


class RestoreForm(Form):
    """The campaign to restore."""

    campaign: UUID


@dataclass(frozen=True)
class CampaignListPage:
    """What campaigns/list.jinja2 and campaigns/_list.jinja2 show."""

    campaigns: list[ListedCampaign]
    list: ListControls


@page_view("campaigns/list.jinja2", "campaigns/_list.jinja2", context=CampaignCollection, permission=Permission.VIEW)
def list_campaigns(context: CampaignCollection, request: Request) -> CampaignListPage:
    """Show a page of the campaigns, of all or of those that match the search."""
    form = read_list_form(CampaignListForm, request)
    sort = choose_sort(CAMPAIGN_SORTS, form.sort)
    page = find_campaigns(
        request.db,
        request.workspace.workspace_id,
        search=form.search,
        is_deleted=form.state == "deleted",
        sort=sort,
        after=form.after or None,
    )
    controls = ListControls(
        noun="campaigns",
        search=form.search,
        filters=(
            Filter("state", gettext("State"), {"": gettext("Active"), "deleted": gettext("Deleted")}, form.state),
        ),
        sorts=CAMPAIGN_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by campaign or feed…"),
    )
    keep_url(request, controls)
    return CampaignListPage(page.rows, controls)


@view_config(context=CampaignCollection, name="restore", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def restore_campaign(context: CampaignCollection, request: Request) -> Response:
    """Restore a deleted campaign, which is then paused."""
    form = read_form(RestoreForm, request.POST).value
    if form is None:
        raise HTTPUnprocessableEntity(gettext("Choose a campaign"))
    campaign = request.db.get(Campaign, (request.workspace.workspace_id, form.campaign))
    if campaign is None:
        raise HTTPNotFound
    feed = request.db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    if feed.deleted_at:
        raise HTTPUnprocessableEntity(
            gettext("The feed “%(name)s” of this campaign was deleted. Restore it first", name=feed.name)
        )
    campaign.deleted_at = None
    request.audit("campaign.restore", campaign.name, campaign=str(campaign.id))
    add_notice(request, gettext("Restored “%(name)s”. It is paused.", name=campaign.name))
    return HTTPSeeOther(request.path_in("campaigns", campaign.id))
