"""What a new workspace can be filled with to try it out: a place for images, a feed, a template."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.demo import contents
from cwz_web.feeds.file_types import spooled
from cwz_web.feeds.imports import import_file, new_feed
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.generation.templates import create_template
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.storage.connections import default_connection, upload_key
from cwz_web.storage.plugins import Providers


def add_sample_feed(db: Session, workspace_id: UUID, providers: Providers) -> Feed:
    """The products of a small shop, with illustrations. Raises StorageError when the workspace has no place for them."""
    data = contents.write_csv(_rows(db, workspace_id, providers))
    feed = new_feed(db, workspace_id, name=contents.FEED, file_name=contents.FILE)
    import_file(db, feed, file_name=contents.FILE, file=spooled(data))
    return feed


def add_sample_template(db: Session, workspace_id: UUID, providers: Providers) -> Template:
    """A product card; its image, where a row has none, is one of the sample feed's illustrations."""
    document = contents.read_template()
    column = next(c for c in document["columns"] if c["name"] == contents.IMAGE)
    column["default"] = _rows(db, workspace_id, providers)[0][contents.IMAGE]
    design = ImageTemplate.model_validate(document)
    return create_template(db, workspace_id, name=contents.TEMPLATE, document=design)


def _rows(db: Session, workspace_id: UUID, providers: Providers) -> list[dict[str, Any]]:
    """The sample's rows, their illustrations put into the workspace's storage."""
    connection = default_connection(db, workspace_id)
    bucket = providers.open(connection.place)
    rows = contents.read_products()
    for row in rows:
        source = Source.of(contents.render_illustration(row[contents.IMAGE]))
        bucket.put(upload_key(workspace_id, source.digest), source.data, content_type="image/jpeg")
        row[contents.IMAGE] = f"original:{source.digest}"
    return rows
