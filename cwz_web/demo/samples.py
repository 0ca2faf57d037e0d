"""Sample feed and template for a new workspace."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.demo import contents
from cwz_web.feeds.imports import create_feed, import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.models import Template
from cwz_web.generation.templates import create_template
from cwz_web.generation.uploads import complete_upload, reserve_upload
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.uploads import prepare_upload
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.plugins import ProviderRegistry


def add_sample_feed(db: Session, workspace_id: UUID, providers: ProviderRegistry) -> Feed:
    """Create a feed with the products of a small shop, and store its illustrations.

    Raises:
        StorageError: The workspace has no storage connection, or it does not work.
    """
    data = contents.write_csv(_store_rows(db, workspace_id, providers))
    feed = create_feed(db, workspace_id, name=contents.FEED, file_name=contents.FILE)
    import_file(db, feed, file_name=contents.FILE, file=temporary_file(data))
    return feed


def add_sample_template(db: Session, workspace_id: UUID, providers: ProviderRegistry) -> Template:
    """Create a product card template, whose default image is an upload: an illustration of the sample feed."""
    document = contents.read_template()
    field = next(field for field in document["fields"] if field["name"] == contents.IMAGE)
    field["default"] = _store_rows(db, workspace_id, providers)[0][contents.IMAGE]
    illustration = contents.read_products()[0][contents.IMAGE]
    reserved = reserve_upload(
        db,
        workspace_id,
        prepare_upload(contents.render_illustration(illustration)),
        name=f"{illustration.capitalize()} (sample)",
        connection_id=get_default_connection(db, workspace_id).id,
        created_by=None,
        check_limit=lambda: None,
    )
    complete_upload(db, workspace_id, reserved)
    design = ImageTemplate.model_validate(document)
    return create_template(db, workspace_id, name=contents.TEMPLATE, document=design)


def _store_rows(db: Session, workspace_id: UUID, providers: ProviderRegistry) -> list[dict[str, Any]]:
    """Store the illustrations in the workspace's bucket and return the rows that refer to them."""
    connection = get_default_connection(db, workspace_id)
    bucket = providers.open(connection.spec)
    rows = contents.read_products()
    for row in rows:
        source = Source.of(contents.render_illustration(row[contents.IMAGE]))
        bucket.put(upload_key(workspace_id, source.digest), source.data, content_type="image/jpeg")
        row[contents.IMAGE] = f"upload:{source.digest}"
    return rows
