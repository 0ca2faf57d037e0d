"""Starter templates for new workspaces, with illustrations in place of photos."""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from uuid import UUID

from cwz_web.demo import contents
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.storage.contract import Bucket, ObjectNotFoundError
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.storage.uploads import Uploads

# File names and labels, in the order of the gallery.
NAMES = {
    "social-card": "Social card",
    "product-ad": "Product ad",
    "sale-badge": "Sale badge",
    "listing": "Listing",
    "event-invitation": "Event invitation",
    "quote": "Quote",
    "certificate": "Certificate",
    "email-header": "Email header",
}
ILLUSTRATION = "illustration:"

_here = files(__package__).joinpath("starters")


@dataclass(frozen=True)
class Starter:
    """A starter template. Its document refers to illustrations as uploads, by their SHA-256."""

    slug: str
    name: str
    document: ImageTemplate
    illustrations: tuple[Source, ...]


@lru_cache(maxsize=len(NAMES))
def open_starter(slug: str) -> Starter:
    """Return a starter by its slug. Raises KeyError."""
    name = NAMES[slug]
    document = json.loads(_here.joinpath(f"{slug}.json").read_text())
    illustrations = []
    for field in document["fields"]:
        if field.get("default", "").startswith(ILLUSTRATION):
            source = Source.of(contents.render_illustration(field["default"].removeprefix(ILLUSTRATION)))
            field["default"] = f"upload:{source.digest}"
            illustrations.append(source)
    return Starter(slug, name, ImageTemplate.model_validate(document), tuple(illustrations))


class StarterUploads(Uploads):
    """The illustrations of a starter as uploads, without a workspace or a bucket."""

    def __init__(self, starter: Starter) -> None:
        super().__init__(UUID(int=0), (), self._no_bucket)
        self._illustrations = {source.digest: source.data for source in starter.illustrations}

    def get(self, digest: str, most: int) -> bytes:
        if digest not in self._illustrations:
            raise ObjectNotFoundError("The starter has no such illustration")
        return self._illustrations[digest]

    @staticmethod
    def _no_bucket(spec: ConnectionSpec) -> Bucket:
        raise AssertionError("a starter has no bucket")
