"""The resources of a workspace: `/w/{slug}/...`."""

from typing import TYPE_CHECKING, Any, ClassVar

from pyramid.authorization import DENY_ALL, Allow

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.channels.models import Channel
from cwz_web.db.base import WorkspaceOwned
from cwz_web.db.session import enter_workspace
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import ApiKey, Image, Template, Upload
from cwz_web.notify.models import Webhook
from cwz_web.ops.models import Export
from cwz_web.resources.base import Resource, parse_uuid
from cwz_web.resources.permissions import READ_ONLY_PERMISSIONS, ROLE_PERMISSIONS, Permission, member_principal
from cwz_web.runs.models import Run
from cwz_web.shops.models import Shop
from cwz_web.storage.models import Connection
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.members import Member, find_member
from cwz_web.workspaces.models import EmailDomain, Invitation

if TYPE_CHECKING:
    from cwz_web.web.request import Request


class WorkspaceItem(Resource):
    """One row of a workspace's table."""

    def __init__(self, request: "Request", parent: Resource, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row


class WorkspaceItemCollection(Resource):
    """The rows of a workspace's table, by id."""

    model: ClassVar[type[WorkspaceOwned]]
    item_class: ClassVar[type[WorkspaceItem]]

    def __getitem__(self, name: str) -> WorkspaceItem:
        workspace = self.__parent__
        assert isinstance(workspace, WorkspaceResource)
        row = self.request.db.get(self.model, (workspace.access.workspace_id, parse_uuid(name)))
        if row is None or not self.includes(row):
            raise KeyError(name)
        return self.item_class(self.request, self, name, row)

    def includes(self, row: Any) -> bool:
        """Return whether a row of the model belongs to this collection."""
        return True


class FeedResource(WorkspaceItem):
    row: Feed


class TemplateResource(WorkspaceItem):
    row: Template


class RunResource(WorkspaceItem):
    row: Run


class ImageResource(WorkspaceItem):
    row: Image


class KeyResource(WorkspaceItem):
    row: ApiKey


class ConnectionResource(WorkspaceItem):
    row: Connection


class UploadResource(WorkspaceItem):
    row: Upload


class WebhookResource(WorkspaceItem):
    row: Webhook


class InvitationResource(WorkspaceItem):
    row: Invitation


class ExportResource(WorkspaceItem):
    row: Export


class MemberResource(WorkspaceItem):
    row: Member


class PublicationResource(WorkspaceItem):
    row: Publication


class PublicationCollection(Resource):
    """The publications of a campaign, by id."""

    def __getitem__(self, name: str) -> PublicationResource:
        campaign = self.__parent__
        assert isinstance(campaign, CampaignResource)
        publication = self.request.db.get(Publication, (campaign.row.workspace_id, parse_uuid(name)))
        if publication is None or publication.campaign_id != campaign.row.id:
            raise KeyError(name)
        return PublicationResource(self.request, self, name, publication)


class ChannelResource(WorkspaceItem):
    row: Channel

    @property
    def campaign(self) -> Campaign:
        """The campaign that the channel is of."""
        assert isinstance(self.__parent__, ChannelCollection)
        return self.__parent__.campaign


class ChannelCollection(Resource):
    """The channels of a campaign, by id, without deleted ones."""

    @property
    def campaign(self) -> Campaign:
        """The campaign that the channels are of."""
        assert isinstance(self.__parent__, CampaignResource)
        return self.__parent__.row

    def __getitem__(self, name: str) -> ChannelResource:
        channel = self.request.db.get(Channel, (self.campaign.workspace_id, parse_uuid(name)))
        if channel is None or channel.campaign_id != self.campaign.id or channel.deleted_at:
            raise KeyError(name)
        return ChannelResource(self.request, self, name, channel)


class ShopResource(WorkspaceItem):
    row: Shop

    @property
    def campaign(self) -> Campaign:
        """The campaign whose images are put into the shop."""
        assert isinstance(self.__parent__, ShopCollection)
        return self.__parent__.campaign


class ShopCollection(Resource):
    """The shops of a campaign, by id."""

    @property
    def campaign(self) -> Campaign:
        """The campaign whose images are put into the shops."""
        assert isinstance(self.__parent__, CampaignResource)
        return self.__parent__.row

    def __getitem__(self, name: str) -> ShopResource:
        shop = self.request.db.get(Shop, (self.campaign.workspace_id, parse_uuid(name)))
        if shop is None or shop.campaign_id != self.campaign.id:
            raise KeyError(name)
        return ShopResource(self.request, self, name, shop)


class CampaignResource(WorkspaceItem):
    row: Campaign
    children: ClassVar[dict[str, type[Resource]]] = {
        "publications": PublicationCollection,
        "channels": ChannelCollection,
        "shops": ShopCollection,
    }


class CampaignCollection(WorkspaceItemCollection):
    model, item_class = Campaign, CampaignResource

    def includes(self, row: Campaign) -> bool:
        """Return whether the campaign was not deleted."""
        return row.deleted_at is None


class FeedCollection(WorkspaceItemCollection):
    model, item_class = Feed, FeedResource


class TemplateCollection(WorkspaceItemCollection):
    model, item_class = Template, TemplateResource


class RunCollection(WorkspaceItemCollection):
    model, item_class = Run, RunResource

    def includes(self, row: Run) -> bool:
        """Return whether it is a run over a feed; image requests are runs without one."""
        return row.feed_id is not None


class ImageCollection(WorkspaceItemCollection):
    model, item_class = Image, ImageResource


class KeyCollection(WorkspaceItemCollection):
    model, item_class = ApiKey, KeyResource


class ConnectionCollection(WorkspaceItemCollection):
    model, item_class = Connection, ConnectionResource


class UploadCollection(WorkspaceItemCollection):
    """Uploads, deleted ones included, which can be restored."""

    model, item_class = Upload, UploadResource


class WebhookCollection(WorkspaceItemCollection):
    model, item_class = Webhook, WebhookResource


class InvitationCollection(WorkspaceItemCollection):
    model, item_class = Invitation, InvitationResource


class ExportCollection(WorkspaceItemCollection):
    model, item_class = Export, ExportResource


class MemberCollection(Resource):
    """The members of a workspace, by account id."""

    def __getitem__(self, name: str) -> MemberResource:
        workspace = self.__parent__
        assert isinstance(workspace, WorkspaceResource)
        member = find_member(self.request.db, workspace.access.workspace_id, parse_uuid(name))
        if member is None:
            raise KeyError(name)
        return MemberResource(self.request, self, name, member)


class RequestLog(Resource):
    """`/w/{slug}/requests`: the requests with API keys of the workspace."""


class SlackResource(Resource):
    """`/w/{slug}/slack`; exists where the installation has a Slack app."""


class EmailDomainResource(WorkspaceItem):
    row: EmailDomain


class EmailDomainCollection(WorkspaceItemCollection):
    model, item_class = EmailDomain, EmailDomainResource


class SingleSignOnSettings(Resource):
    """`/w/{slug}/single-sign-on`: the workspace's identity provider."""


class BrandResource(Resource):
    """`/w/{slug}/brand`: the colors, fonts, logos and text styles of the workspace."""


class BillingResource(Resource):
    """`/w/{slug}/billing`; exists where the installation has plans."""


class WorkspaceResource(Resource):
    """A workspace that the user is a member of."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "feeds": FeedCollection,
        "templates": TemplateCollection,
        "runs": RunCollection,
        "campaigns": CampaignCollection,
        "images": ImageCollection,
        "keys": KeyCollection,
        "requests": RequestLog,
        "webhooks": WebhookCollection,
        "uploads": UploadCollection,
        "brand": BrandResource,
        "storage": ConnectionCollection,
        "members": MemberCollection,
        "invitations": InvitationCollection,
        "billing": BillingResource,
        "slack": SlackResource,
        "exports": ExportCollection,
        "single-sign-on": SingleSignOnSettings,
        "email-domains": EmailDomainCollection,
    }

    def __init__(self, request: "Request", parent: Resource, access: Access) -> None:
        super().__init__(request, parent, access.slug)
        self.access = access
        enter_workspace(request.db, access.workspace_id)

    def __getitem__(self, name: str) -> Resource:
        services = self.request.services
        if (name == "billing" and services.billing is None) or (name == "slack" and services.slack is None):
            raise KeyError(name)
        return super().__getitem__(name)

    @property
    def is_read_only(self) -> bool:
        """Whether an unpaid plan leaves the workspace read-only."""
        return self.access.plan_status.read_only and self.request.services.settings.billing.enabled

    def __acl__(self) -> list[Any]:
        workspace_id = self.access.workspace_id
        available = READ_ONLY_PERMISSIONS if self.is_read_only else frozenset(Permission)
        return [
            *(
                (Allow, member_principal(workspace_id, role), granted & available)
                for role, granted in ROLE_PERMISSIONS.items()
            ),
            DENY_ALL,
        ]


class WorkspaceCollection(Resource):
    """`/w`: the user's workspaces, by slug. A workspace of other users is not found."""

    def __getitem__(self, name: str) -> WorkspaceResource:
        for access in getattr(self.request.identity, "workspaces", ()):
            if access.slug == name:
                return WorkspaceResource(self.request, self, access)
        raise KeyError(name)
