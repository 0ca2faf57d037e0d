"""The resources behind signed URLs: `/i/...`. Their views check the signature."""

from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from cwz_web.channels.preset import FileFormat
from cwz_web.generation.template_cache import TemplateVersionState
from cwz_web.imaging.encoders import Format
from cwz_web.resources.base import Area, Resource, parse_uuid

if TYPE_CHECKING:
    from cwz_web.web.request import Request


class SignedFile(Resource):
    """A file of a workspace behind a signed URL: `{id}.{extension}`."""

    extensions: ClassVar[tuple[str, ...]] = tuple(Format)

    def __init__(self, request: "Request", parent: Resource, name: str, workspace_id: UUID) -> None:
        super().__init__(request, parent, name)
        self.workspace_id = workspace_id
        stem, _, self.extension = name.rpartition(".")
        self.id = parse_uuid(stem)
        if self.extension not in self.extensions:
            raise KeyError(name)

    @property
    def format(self) -> Format:
        """The format of an image."""
        return Format(self.extension)


class OnDemandImage(SignedFile):
    """`/i/{template}.{extension}`: an image that is rendered on demand."""

    def __init__(self, request: "Request", parent: Resource, name: str, state: TemplateVersionState) -> None:
        super().__init__(request, parent, name, state.workspace_id)
        self.state = state


class SignedImage(SignedFile):
    """`/i/images/{workspace}/{image}.{extension}`: a stored image."""


class SignedFeed(SignedFile):
    """`/i/feeds/{workspace}/{feed}.csv`: a feed with the URLs of its images."""

    extensions = ("csv",)


class SignedCampaignFeed(SignedFile):
    """`/i/campaigns/{workspace}/{campaign}.csv`: the rows of a campaign's public publication."""

    extensions = ("csv",)


class SignedChannelFeed(SignedFile):
    """`/i/channels/{workspace}/{channel}.{format}[.gz]`: the feed of a channel."""

    extensions = tuple(FileFormat)

    def __init__(self, request: "Request", parent: Resource, name: str, workspace_id: UUID) -> None:
        super().__init__(request, parent, name.removesuffix(".gz"), workspace_id)
        self.__name__, self.is_gzipped = name, name.endswith(".gz")


class WorkspaceSignedFiles(Resource):
    """Signed files of one class, in one workspace."""

    file_class: ClassVar[type[SignedFile]]

    def __getitem__(self, name: str) -> SignedFile:
        return self.file_class(self.request, self, name, parse_uuid(self.__name__))


class WorkspaceSignedImages(WorkspaceSignedFiles):
    file_class = SignedImage


class WorkspaceSignedFeeds(WorkspaceSignedFiles):
    file_class = SignedFeed


class WorkspaceSignedCampaigns(WorkspaceSignedFiles):
    file_class = SignedCampaignFeed


class WorkspaceSignedChannels(WorkspaceSignedFiles):
    file_class = SignedChannelFeed


class SignedFileCollection(Resource):
    """Signed files of one class, by workspace."""

    workspace_class: ClassVar[type[WorkspaceSignedFiles]]

    def __getitem__(self, name: str) -> WorkspaceSignedFiles:
        return self.workspace_class(self.request, self, name)


class SignedImageCollection(SignedFileCollection):
    workspace_class = WorkspaceSignedImages


class SignedFeedCollection(SignedFileCollection):
    workspace_class = WorkspaceSignedFeeds


class SignedCampaignCollection(SignedFileCollection):
    workspace_class = WorkspaceSignedCampaigns


class SignedChannelCollection(SignedFileCollection):
    workspace_class = WorkspaceSignedChannels


class SignedUrlRoot(Resource):
    """`/i`: images and feeds for clients with a signed URL."""

    area = Area(is_api=True, uses_transaction=False, is_embeddable=True)
    children: ClassVar[dict[str, type[Resource]]] = {
        "images": SignedImageCollection,
        "feeds": SignedFeedCollection,
        "campaigns": SignedCampaignCollection,
        "channels": SignedChannelCollection,
    }

    def __getitem__(self, name: str) -> Resource:
        if name in self.children:
            return super().__getitem__(name)
        template_id = parse_uuid(name.rpartition(".")[0])
        state = self.request.services.template_cache.find_state(template_id)
        if state is None:
            raise KeyError(name)
        return OnDemandImage(self.request, self, name, state)
