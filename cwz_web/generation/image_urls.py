"""The URLs of a workspace's images for feeds, the API, webhooks and pages: public or signed ones.

The image of a connection with a proven public base URL is fetched from there, past the application; any other image
from its signed URL (decision 57). Thumbnails on our own pages are always signed URLs.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Image
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.storage.models import Connection
from cwz_web.storage.public_urls import public_url


class ImageUrls:
    """Returns the URLs of one workspace's images. To be loaded once for a file, a page or a response.

    Args:
        workspace_id: the workspace.
        signed_urls: signs the URLs of images without a public one.
        base_urls: the proven public base URLs by the id of their connection.
    """

    def __init__(self, workspace_id: UUID, signed_urls: SignedUrls, base_urls: Mapping[str, str]) -> None:
        self._signed_url, self._base_urls = signed_urls.image_url(workspace_id), base_urls
        self._prefix = f"{workspace_id}/"

    @classmethod
    def load(cls, db: Session, workspace_id: UUID, signed_urls: SignedUrls) -> Self:
        """Read the base URLs of a workspace's connections, with one query."""
        proven = select(Connection.id, Connection.proven_base_url).where(
            Connection.workspace_id == workspace_id, Connection.proven_base_url != ""
        )
        return cls(workspace_id, signed_urls, {str(row.id): row.proven_base_url for row in db.execute(proven)})

    @property
    def version(self) -> str:
        """A text that changes whenever a base URL does, for the ETags of files with URLs; empty without any."""
        pairs = sorted(self._base_urls.items())
        return sha256(repr(pairs).encode()).hexdigest() if pairs else ""

    def url(self, image: Image) -> str:
        """Return the URL of an image."""
        return self.url_of(image.connection_id, image.id, image.key)

    def public_url(self, image: Image) -> str:
        """Return the public URL of an image; empty if its connection has none."""
        return self._public_url(image.connection_id, image.key)

    def url_of(self, connection_id: UUID | str, image_id: UUID | str, key: str) -> str:
        """Return the URL of an image.

        Args:
            connection_id: the connection that it is stored in.
            image_id: its id.
            key: its object key in the storage.
        """
        public = self._public_url(connection_id, key) if self._base_urls else ""
        return public or self._signed_url(image_id, key)

    def describe(self, image: Image) -> dict[str, Any]:
        """Return an image as the API and webhooks describe it."""
        return {
            "id": str(image.id),
            "url": self.url(image),
            "digest": image.digest,
            "width": image.width,
            "height": image.height,
            "bytes": image.size,
            "content_type": image.content_type,
        }

    def _public_url(self, connection_id: UUID | str, key: str) -> str:
        base_url = self._base_urls.get(str(connection_id))
        # A key of another workspace would be a mistake elsewhere; it is not published.
        return public_url(base_url, key) if base_url and key.startswith(self._prefix) else ""
