"""The list of campaigns."""

from dataclasses import dataclass

from cwz_web.campaigns.campaign_list import CAMPAIGN_SORTS, ListedCampaign, find_campaigns
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignCollection
from cwz_web.web.lists import ListControls, ListForm, choose_sort, keep_url, read_list_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request


@dataclass(frozen=True)
class CampaignListPage:
    """What campaigns/list.jinja2 and campaigns/_list.jinja2 show."""

    campaigns: list[ListedCampaign]
    list: ListControls


@page_view("campaigns/list.jinja2", "campaigns/_list.jinja2", context=CampaignCollection, permission=Permission.VIEW)
def list_campaigns(context: CampaignCollection, request: Request) -> CampaignListPage:
    """Show a page of the campaigns, of all or of those that match the search."""
    form = read_list_form(ListForm, request)
    sort = choose_sort(CAMPAIGN_SORTS, form.sort)
    page = find_campaigns(
        request.db, request.workspace.workspace_id, search=form.search, sort=sort, after=form.after or None
    )
    controls = ListControls(
        noun="campaigns",
        search=form.search,
        sorts=CAMPAIGN_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by campaign or feed…"),
    )
    keep_url(request, controls)
    return CampaignListPage(page.rows, controls)
