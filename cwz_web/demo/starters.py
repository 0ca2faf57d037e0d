"""Starter templates, each a JSON file in `starters/`: its entry in the gallery, a document, and sample rows.

A file has a `name`, a `description`, a `category`, the `key_fields` that the design makes no sense without, the
`document`, and `rows`: values for one or two more examples beside the document's defaults. An image is the name of one
of our illustrations, such as `illustration:lamp`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from uuid import UUID

from cwz_web.demo import contents
from cwz_web.i18n import gettext_noop
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.storage.contract import Bucket, ObjectNotFoundError
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.storage.uploads import Uploads

# The categories of the gallery with their labels, in its order.
CATEGORIES = {
    "product": gettext_noop("Product"),
    "sale": gettext_noop("Sale"),
    "price-drop": gettext_noop("Price drop"),
    "new": gettext_noop("New"),
    "review": gettext_noop("Review"),
    "collection": gettext_noop("Collection"),
    "story": gettext_noop("Story"),
    "banner": gettext_noop("Banner"),
    "quote": gettext_noop("Social"),
    "event": gettext_noop("Event"),
    "certificate": gettext_noop("Certificate"),
    "email": gettext_noop("Email header"),
    "real-estate": gettext_noop("Real estate"),
    "job": gettext_noop("Job"),
    "travel": gettext_noop("Travel"),
}

_illustration = re.compile("illustration:([a-z-]+)")
_here = files(__package__).joinpath("starters")


@dataclass(frozen=True)
class StarterSize:
    """A size of a starter, in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class StarterEntry:
    """A starter's entry in the gallery.

    Attributes:
        key_fields: the fields that the design makes no sense without.
        fields: all fields of its document.
        sizes: all sizes, the canvas's own first.
        rows: the number of its sample rows.
        version: changes with the file.
    """

    slug: str
    name: str
    description: str
    category: str
    key_fields: tuple[str, ...]
    fields: tuple[TemplateField, ...]
    sizes: tuple[StarterSize, ...]
    rows: int
    version: str


@dataclass(frozen=True)
class Starter:
    """A starter template. Its document and rows refer to illustrations as uploads, by their SHA-256.

    Attributes:
        rows: the values of its sample rows; the first one has the document's defaults.
        illustrations: the images of all rows.
        defaults: those that the document itself refers to, by their names.
    """

    entry: StarterEntry
    document: ImageTemplate
    rows: tuple[Mapping[str, str], ...]
    illustrations: tuple[Source, ...]
    defaults: Mapping[str, Source]


@lru_cache(maxsize=1)
def list_starters() -> dict[str, StarterEntry]:
    """Return the entries of the gallery by slug: by category, and by name in a category."""
    entries = [_read_entry(file.name.removesuffix(".json"), file.read_bytes()) for file in _here.iterdir()]
    order = list(CATEGORIES)
    entries.sort(key=lambda entry: (order.index(entry.category), entry.name))
    return {entry.slug: entry for entry in entries}


@lru_cache(maxsize=64)
def open_starter(slug: str) -> Starter:
    """Return a starter by its slug. Raises KeyError."""
    if slug not in list_starters():
        raise KeyError(slug)
    return read_starter(slug, _here.joinpath(f"{slug}.json").read_bytes())


def read_starter(slug: str, data: bytes) -> Starter:
    """Return the starter of a JSON file."""
    file = json.loads(data)
    document, rows = file["document"], [{}, *file.get("rows", [])]
    images: dict[str, Source] = {}
    for field in document["fields"]:
        field["default"] = _refer(field.get("default", ""), images)
    defaults = dict(images)
    resolved = tuple({name: _refer(value, images) for name, value in row.items()} for row in rows)
    entry = _read_entry(slug, data)
    return Starter(entry, ImageTemplate.model_validate(document), resolved, tuple(images.values()), defaults)


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


def _read_entry(slug: str, data: bytes) -> StarterEntry:
    file = json.loads(data)
    document = file["document"]
    canvas = {**document["canvas"], "name": DEFAULT_SIZE}
    sizes = (StarterSize(size["name"], size["width"], size["height"]) for size in [canvas, *document.get("sizes", [])])
    return StarterEntry(
        slug,
        file["name"],
        file["description"],
        file["category"],
        tuple(file["key_fields"]),
        tuple(TemplateField.model_validate(field) for field in document["fields"]),
        tuple(sizes),
        1 + len(file.get("rows", [])),
        sha256(data).hexdigest()[:12],
    )


def _refer(value: str, images: dict[str, Source]) -> str:
    """Return a value that refers to its illustrations as uploads, and add them to the images, which are by name."""

    def reference(match: re.Match[str]) -> str:
        name = match[1]
        if name not in images:
            images[name] = Source.of(contents.render_illustration(name))
        return f"upload:{images[name].digest}"

    return _illustration.sub(reference, value)
