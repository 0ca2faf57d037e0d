"""Deletion of images: they are hidden at once, can be restored for a while, and are then removed from the storage.

A deleted image is moved to `deleted_images`, so that every query of images is right without a condition. Items of runs
keep its id in `deleted_image_id`. Its quota is not refunded; an image that is requested again counts again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.pagination import count_rows
from cwz_web.db.session import Database, execute_update, raw_connection
from cwz_web.generation.models import DeletedImage, Image
from cwz_web.i18n import gettext, number
from cwz_web.jobs import app
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.connections import enqueue_channel_feeds
from cwz_web.storage.contract import Bucket, find_size
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry

UNDO_TIME = timedelta(minutes=30)
PURGE_TASK = "runs.purge_images"
# The rows of runs that one deletion changes: an image can be that of many rows, for example of those without a photo.
MAX_ITEMS = 20_000
MAX_FEEDS = 20

# Feeds whose output feed has one of the images: no later run has an image of the same row and output. OFFSET 0 lets
# PostgreSQL look rows up in an index one by one; as a join without statistics, it compares all rows with all others.
_FEEDS = text("""
    WITH shown AS MATERIALIZED (
        SELECT run_id, key, output, state, image_id FROM run_items
        WHERE workspace_id = :workspace AND image_id = ANY(CAST(:images AS uuid[])) AND state IN ('done', 'incomplete')
        LIMIT :items
    )
    SELECT feed.id, feed.name, template.name AS template, count(DISTINCT item.image_id) AS images,
           EXISTS (SELECT FROM auto_runs WHERE workspace_id = :workspace AND feed_id = feed.id
                   AND template_id = template.id) AS is_automatic
    FROM shown item
    JOIN runs run ON run.workspace_id = :workspace AND run.id = item.run_id
    JOIN feeds feed ON feed.workspace_id = :workspace AND feed.id = run.feed_id AND feed.deleted_at IS NULL
    JOIN templates template ON template.workspace_id = :workspace AND template.id = run.template_id
    WHERE (item.state = 'done' OR run.on_missing_photo = 'replace')
      AND EXISTS (SELECT FROM items WHERE workspace_id = :workspace AND feed_id = feed.id AND key = item.key OFFSET 0)
      AND NOT EXISTS (
          SELECT FROM (
              SELECT run_id, output FROM run_items
              WHERE workspace_id = :workspace AND key = item.key AND state = 'done' OFFSET 0
          ) later
          JOIN runs later_run ON later_run.workspace_id = :workspace AND later_run.id = later.run_id
          WHERE later.run_id > item.run_id AND later_run.feed_id = run.feed_id
            AND later_run.template_id = run.template_id
            AND later_run.outputs -> later.output = run.outputs -> item.output OFFSET 0)
    GROUP BY feed.id, feed.name, template.id, template.name ORDER BY feed.name, template.name LIMIT :limit
""")
_MOVE = text("""
    WITH gone AS (
        DELETE FROM images WHERE workspace_id = :workspace AND id = ANY(CAST(:images AS uuid[])) RETURNING *
    )
    INSERT INTO deleted_images (workspace_id, id, batch_id, digest, connection_id, key, image)
    SELECT workspace_id, id, :batch, digest, connection_id, key, to_jsonb(gone) FROM gone
""")
_MOVE_BACK = text("""
    INSERT INTO images
    SELECT (jsonb_populate_record(NULL::images, image)).* FROM deleted_images
    WHERE workspace_id = :workspace AND batch_id = :batch ORDER BY digest
    ON CONFLICT (workspace_id, digest) DO NOTHING
""")
# An image that was rendered again since has another id.
_RESTORE_ITEMS = text("""
    UPDATE run_items item SET image_id = image.id, deleted_image_id = NULL
    FROM deleted_images gone
    JOIN images image ON image.workspace_id = gone.workspace_id AND image.digest = gone.digest
    WHERE gone.workspace_id = :workspace AND gone.batch_id = :batch
      AND item.workspace_id = :workspace AND item.deleted_image_id = gone.id
""")


class ImageInUseError(Exception):
    """The images cannot be deleted now; the message says why."""


@dataclass(frozen=True)
class FeedUse:
    """A feed whose output feed has some of the images.

    Attributes:
        is_automatic: Whether automatic runs render changed rows of it.
    """

    id: UUID
    name: str
    template: str
    images: int
    is_automatic: bool


def feeds_with_images(db: Session, workspace_id: UUID, image_ids: Collection[UUID]) -> list[FeedUse]:
    """Return the feeds whose rows currently have some of the images, at most MAX_FEEDS, of at most MAX_ITEMS rows."""
    parameters = {"workspace": workspace_id, "images": list(image_ids), "items": MAX_ITEMS, "limit": MAX_FEEDS}
    return [
        FeedUse(row.id, row.name, row.template, row.images, row.is_automatic) for row in db.execute(_FEEDS, parameters)
    ]


def count_deleted_images(db: Session, run: Run) -> int:
    """Return how many images of a run are deleted, counted up to one more than `pagination.MAX_COUNT`."""
    deleted = select(RunItem.position).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.deleted_image_id.is_not(None),
        RunItem.image_id.is_(None),  # else it was rendered again
    )
    return count_rows(db, deleted)


def delete_images(db: Session, workspace_id: UUID, image_ids: Collection[UUID], *, is_shown: bool = True) -> UUID:
    """Delete images, and enqueue the job that removes their objects. Return what restores them: the id of the batch.

    Args:
        db: the caller's transaction.
        workspace_id: the workspace.
        image_ids: the images.
        is_shown: whether feeds of channels may name some of them, so that they are written again.

    Raises:
        ImageInUseError: A run in progress may keep one of the images, or they belong to too many rows.
    """
    ids, batch_id = sorted(image_ids), uuid7()
    own = select(Image.id).where(Image.workspace_id == workspace_id, Image.id.in_(ids))
    db.execute(own.order_by(Image.id).with_for_update())  # from here on, no run refers to them
    items = (RunItem.workspace_id == workspace_id, RunItem.image_id.in_(ids))
    if db.scalar(select(exists().where(*items, RunItem.state == "pending"))):
        raise ImageInUseError(
            gettext("A run in progress may keep this image. Wait until it has finished, or cancel it")
        )
    bounded = select(RunItem.position).where(*items).limit(MAX_ITEMS + 1).subquery()
    if (db.scalar(select(func.count()).select_from(bounded)) or 0) > MAX_ITEMS:
        raise ImageInUseError(
            gettext(
                "Together, these images are those of more than %(rows)s rows of runs. Select fewer",
                rows=number(MAX_ITEMS),
            )
        )
    db.execute(update(RunItem).where(*items).values(deleted_image_id=RunItem.image_id, image_id=None))
    db.execute(_MOVE, {"workspace": workspace_id, "images": ids, "batch": batch_id})
    task = app.configure_task(PURGE_TASK, connection=raw_connection(db), schedule_at=datetime.now(UTC) + UNDO_TIME)
    task.defer(workspace_id=str(workspace_id), batch_id=str(batch_id))
    if is_shown:
        enqueue_channel_feeds(db, workspace_id)
    db.expire_all()
    return batch_id


def restore_images(db: Session, workspace_id: UUID, batch_id: UUID) -> int:
    """Restore the images of a deletion. Return how many there were; 0 if they are removed already."""
    batch = (DeletedImage.workspace_id == workspace_id, DeletedImage.batch_id == batch_id)
    rows = db.scalars(select(DeletedImage.is_purging).where(*batch).with_for_update()).all()
    if not rows or any(rows):
        return 0
    parameters = {"workspace": workspace_id, "batch": batch_id}
    db.execute(_MOVE_BACK, parameters)
    db.execute(_RESTORE_ITEMS, parameters)
    enqueue_channel_feeds(db, workspace_id)
    return execute_update(db, delete(DeletedImage).where(*batch))


def purge_images(database: Database, providers: ProviderRegistry, workspace_id: UUID, batch_id: UUID) -> int:
    """Remove the objects of deleted images, unless the same image was rendered again. Return how many are removed.

    A deleted workspace is no exception: it can be restored, and the job runs only once. An image that was rendered
    again and deleted as well has the same object: the job of the later deletion removes it.

    Raises:
        StorageError: A connection does not respond; the job tries again.
        ImageInUseError: An image has lost its object, but a run in progress may keep it; the job tries again.
    """
    batch = (DeletedImage.workspace_id == workspace_id, DeletedImage.batch_id == batch_id)
    with database.transaction(workspace_id, deleted=True) as db:
        db.execute(update(DeletedImage).where(*batch).values(is_purging=True))
        gone = db.scalars(select(DeletedImage).where(*batch).order_by(DeletedImage.id)).all()
        own = select(Connection).where(Connection.workspace_id == workspace_id)
        specs = {connection.id: connection.spec for connection in db.scalars(own)}
    return sum(_purge_image(database, providers.open(specs[image.connection_id]), image) for image in gone)


def _purge_image(database: Database, bucket: Bucket, gone: DeletedImage) -> bool:
    """Remove the object of a deleted image, unless it is needed, and its row. Return whether the object is removed.

    An image is recorded after its object is stored: one that is recorded while the object is removed has none, and is
    deleted too.
    """
    workspace_id = gone.workspace_id
    with database.transaction(workspace_id, deleted=True) as db:
        is_needed = _find_rendered_again(db, gone) is not None or _is_deleted_again(db, gone)
    if not is_needed:
        bucket.delete(gone.key)
    with database.transaction(workspace_id, deleted=True) as db:
        image_id = _find_rendered_again(db, gone)
    is_lost = image_id is not None and find_size(bucket, gone.key) is None
    with database.transaction(workspace_id, deleted=True) as db:
        if image_id and is_lost:
            delete_images(db, workspace_id, [image_id])
        db.execute(delete(DeletedImage).where(DeletedImage.workspace_id == workspace_id, DeletedImage.id == gone.id))
    return not is_needed


def _find_rendered_again(db: Session, gone: DeletedImage) -> UUID | None:
    """Return the image that was rendered again and has the object of a deleted one."""
    return db.scalar(
        select(Image.id).where(
            Image.workspace_id == gone.workspace_id,
            Image.digest == gone.digest,
            Image.connection_id == gone.connection_id,
        )
    )


def _is_deleted_again(db: Session, gone: DeletedImage) -> bool:
    """Return whether a later deletion has the same object."""
    later = exists().where(
        DeletedImage.workspace_id == gone.workspace_id,
        DeletedImage.digest == gone.digest,
        DeletedImage.connection_id == gone.connection_id,
        DeletedImage.batch_id > gone.batch_id,
    )
    return bool(db.scalar(select(later)))
