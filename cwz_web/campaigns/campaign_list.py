"""The list of campaigns: search, order and pages, with what is public and what waits of each."""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ScalarSelect, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.db.pagination import Page, Sort, fetch_page, with_reverse
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext_noop

CAMPAIGN_PAGE = 30
CAMPAIGN_SORTS = with_reverse(
    {
        "newest": Sort(gettext_noop("Newest first"), reverse_label=gettext_noop("Oldest first")),
        "name": Sort(
            gettext_noop("Name"),
            func.lower(Campaign.name),
            is_descending=False,
            reverse_label=gettext_noop("Name, Z to A"),
        ),
    }
)


@dataclass(frozen=True)
class ListedCampaign:
    """A campaign with the name of its feed.

    Attributes:
        campaign: the campaign.
        feed: the name of its feed.
        public: the publication that readers see.
        held: how many publications wait for a decision.
        scheduled: how many wait for their time.
    """

    campaign: Campaign
    feed: str
    public: Publication | None
    held: int
    scheduled: int


def find_campaigns(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    is_deleted: bool = False,
    sort: str = "newest",
    after: UUID | None = None,
) -> Page[ListedCampaign]:
    """Return a page of the campaigns.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        search: only campaigns with this in their name or that of their feed, ignoring case.
        is_deleted: whether only deleted campaigns, or only others.
        sort: the order, one of CAMPAIGN_SORTS.
        after: where the page begins.
    """
    public = aliased(Publication)
    waiting = [_count(PublicationState.HELD), _count(PublicationState.SCHEDULED)]
    query = (
        select(Campaign, Feed.name, public, *waiting)
        .join(Feed, and_(Feed.workspace_id == Campaign.workspace_id, Feed.id == Campaign.feed_id))
        .outerjoin(public, and_(public.workspace_id == Campaign.workspace_id, public.id == Campaign.public_id))
        .where(
            Campaign.workspace_id == workspace_id,
            Campaign.deleted_at.is_not(None) if is_deleted else Campaign.deleted_at.is_(None),
        )
    )
    if search:
        query = query.where(or_(*(name.icontains(search, autoescape=True) for name in (Campaign.name, Feed.name))))
    order = CAMPAIGN_SORTS[sort]
    page = fetch_page(db, query, Campaign, workspace_id=workspace_id, sort=order, after=after, size=CAMPAIGN_PAGE)
    return replace(page, rows=[ListedCampaign(*row) for row in page.rows])


def find_campaigns_with_template(db: Session, template: Template, limit: int = 20) -> list[Campaign]:
    """Return the campaigns whose rules use a template, by name, without deleted ones."""
    uses = Campaign.rules.contains([{"designs": [{"template": str(template.id)}]}])
    campaigns = select(Campaign).where(
        Campaign.workspace_id == template.workspace_id, Campaign.deleted_at.is_(None), uses
    )
    return list(db.scalars(campaigns.order_by(func.lower(Campaign.name), Campaign.id).limit(limit)))


def _count(state: PublicationState) -> ScalarSelect[int]:
    query = select(func.count()).where(
        Publication.workspace_id == Campaign.workspace_id,
        Publication.campaign_id == Campaign.id,
        Publication.state == state,
    )
    return query.correlate(Campaign).scalar_subquery()
