from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from cwz_web.feeds.models import Feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import DeletedImage, Image, Template
from cwz_web.runs import image_deletion
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.image_deletion import (
    ImageInUseError,
    count_deleted_images,
    delete_images,
    feeds_with_images,
    purge_images,
    restore_images,
)
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.output_feed import version_of, write_output_feed
from cwz_web.storage.connections import ConnectionInUseError, delete_connection, list_connections, usage_by_connection
from cwz_web.storage.contract import Bucket, ObjectNotFoundError
from cwz_web.workspaces.audit import Actor
from cwz_web.workspaces.deletion import delete_workspace
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, local_bucket


@dataclass(frozen=True)
class Gallery:
    """A feed with three rows, a run that rendered the first two of them, and their images."""

    make: Factory
    space: Workspace
    feed: Feed
    template: Template
    run: Run
    images: list[Image]

    def transaction(self) -> Any:
        return self.make.database.transaction(self.space.id)

    def put(self, run: Run, *images: Image) -> None:
        """Let the first rows of a run have images."""
        with self.transaction() as db:
            for position, image in enumerate(images, 1):
                item = db.get_one(RunItem, (self.space.id, run.id, position))
                item.image_id, item.state = image.id, "done"

    def delete(self, *images: Image) -> UUID:
        with self.transaction() as db:
            return delete_images(db, self.space.id, [image.id for image in images])

    def restore(self, batch: UUID) -> int:
        with self.transaction() as db:
            return restore_images(db, self.space.id, batch)

    def purge(self, batch: UUID) -> int:
        return purge_images(self.make.database, self.make.services.providers, self.space.id, batch)

    def uses(self, *images: Image) -> list[tuple[str, int, bool]]:
        with self.transaction() as db:
            found = feeds_with_images(db, self.space.id, [image.id for image in images])
            return [(use.name, use.images, use.is_automatic) for use in found]

    def output_feed(self) -> tuple[str, list[str]]:
        """Return the version of the output feed, and the last part of each row's image URL."""
        with self.transaction() as db:
            run = db.get_one(Run, (self.space.id, self.run.id))
            urls = ImageUrls.load(db, self.space.id, self.make.services.signed_urls)
            with write_output_feed(db, self.feed, run, "", urls) as file:
                rows = file.read().decode().splitlines()[1:]
            return version_of(db, self.feed, run, "", urls), [row.rpartition(",")[2] for row in rows]


def copy_of(image: Image) -> Image:
    """Return the image as another rendering records it."""
    names = {column.name for column in Image.__table__.columns} - {"id", "created_at"}
    return Image(**{name: getattr(image, name) for name in names})


@pytest.fixture
def gallery(make: Factory) -> Gallery:
    space = make.workspace()
    feed, template = make.feed(space, name="Products"), make.template(space)
    images = [make.image(template) for _ in range(2)]
    for image in images:
        local_bucket(make.services).put(image.key, b"image", content_type="image/jpeg")
    found = Gallery(make, space, feed, template, make.run(feed, template), images)
    found.put(found.run, *images)
    return found


def test_deleted_image_is_nowhere_until_it_is_restored(gallery: Gallery) -> None:
    first, second = gallery.images
    version, urls = gallery.output_feed()
    batch = gallery.delete(first)
    with gallery.transaction() as db:
        assert db.scalars(select(Image.id)).all() == [second.id]
        [usage] = usage_by_connection(db, gallery.space.id).values()
        assert (usage.images, usage.size) == (1, 9)
        assert count_deleted_images(db, gallery.run) == 1
    after, left = gallery.output_feed()
    assert (left[0], left[1]) == ("", urls[1])
    assert after != version
    assert gallery.restore(batch) == 1
    assert gallery.output_feed() == (version, urls)
    with gallery.transaction() as db:
        restored = db.get_one(Image, (gallery.space.id, first.id))
        assert count_deleted_images(db, gallery.run) == 0
        assert (restored.created_at, restored.name, restored.digest) == (first.created_at, first.name, first.digest)
    assert gallery.restore(batch) == 0


def test_output_feed_has_another_version_when_another_image_is_deleted(gallery: Gallery) -> None:
    third = gallery.make.image(gallery.template)
    gallery.put(gallery.run, *gallery.images, third)
    first, second = gallery.images
    gallery.delete(third)
    batch = gallery.delete(first)
    version, _ = gallery.output_feed()
    gallery.restore(batch)
    gallery.delete(second)
    assert gallery.output_feed()[0] != version


def test_objects_are_removed_after_a_while(gallery: Gallery) -> None:
    first, second = gallery.images
    batch = gallery.delete(first)
    assert gallery.purge(batch) == 1
    with pytest.raises(ObjectNotFoundError):
        local_bucket(gallery.make.services).head(first.key)
    assert local_bucket(gallery.make.services).head(second.key).size == 5
    assert gallery.restore(batch) == 0
    assert gallery.purge(batch) == 0, "the job can run again"


def test_image_that_was_rendered_again_keeps_its_object(gallery: Gallery) -> None:
    first, _ = gallery.images
    batches = [gallery.delete(first)]
    again = copy_of(first)
    with gallery.transaction() as db:
        db.add(again)
    assert gallery.restore(batches[0]) == 1
    with gallery.transaction() as db:
        assert db.get_one(RunItem, (gallery.space.id, gallery.run.id, 1)).image_id == again.id
    batches.append(gallery.delete(again))
    with gallery.transaction() as db:
        db.add(copy_of(again))
    assert gallery.purge(batches[1]) == 0
    assert local_bucket(gallery.make.services).head(first.key).size == 5
    assert gallery.make.count(DeletedImage, gallery.space.id) == 0


def test_earlier_deletion_of_the_same_image_leaves_its_object_to_the_later_one(gallery: Gallery) -> None:
    first, again = gallery.images[0], copy_of(gallery.images[0])
    earlier = gallery.delete(first)
    with gallery.transaction() as db:
        db.add(again)
    later = gallery.delete(again)
    assert gallery.purge(earlier) == 0
    assert gallery.restore(later) == 1
    assert local_bucket(gallery.make.services).head(first.key).size == 5
    assert gallery.purge(gallery.delete(again)) == 1


@pytest.fixture
def record_during_removal(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Callable[[Image], None]:
    """Return a function that lets an image be recorded again as soon as the next object is removed."""
    bucket_type = type(local_bucket(gallery.make.services))
    remove = bucket_type.delete

    def record(image: Image) -> None:
        def remove_and_record(bucket: Bucket, key: str) -> None:
            remove(bucket, key)
            monkeypatch.setattr(bucket_type, "delete", remove)
            with gallery.transaction() as db:
                db.add(copy_of(image))

        monkeypatch.setattr(bucket_type, "delete", remove_and_record)

    return record


def test_image_that_is_rendered_again_during_a_purge_keeps_its_object(
    gallery: Gallery, record_during_removal: Callable[[Image], None]
) -> None:
    first, second = gallery.images
    batch = gallery.delete(first, second)
    record_during_removal(second)
    assert gallery.purge(batch) == 1
    assert local_bucket(gallery.make.services).head(second.key).size == 5
    assert gallery.make.count(Image, gallery.space.id) == 1
    assert gallery.make.count(DeletedImage, gallery.space.id) == 0


def test_image_that_is_recorded_while_its_object_is_removed_is_deleted(
    gallery: Gallery, record_during_removal: Callable[[Image], None]
) -> None:
    first, second = gallery.images
    batch = gallery.delete(first)
    record_during_removal(first)
    assert gallery.purge(batch) == 1
    with gallery.transaction() as db:
        assert db.scalars(select(Image.id)).all() == [second.id]
        [own_batch] = db.scalars(select(DeletedImage.batch_id)).all()
    assert gallery.purge(own_batch) == 1
    assert gallery.make.count(DeletedImage, gallery.space.id) == 0


def test_objects_are_removed_although_the_workspace_is_deleted(gallery: Gallery) -> None:
    first, _ = gallery.images
    batch = gallery.delete(first)
    with gallery.transaction() as db:
        delete_workspace(db, db.get_one(Workspace, gallery.space.id), Actor(None, "Ada", ""), with_images=False)
    assert gallery.purge(batch) == 1
    with pytest.raises(ObjectNotFoundError):
        local_bucket(gallery.make.services).head(first.key)


def test_output_feeds_that_have_an_image(gallery: Gallery) -> None:
    first, second = gallery.images
    assert gallery.uses(first, second) == [("Products", 2, False)]
    with gallery.transaction() as db:
        start_auto_run(db, db.get_one(Run, (gallery.space.id, gallery.run.id)))
    later = gallery.make.run(gallery.feed, gallery.template)
    replacement = gallery.make.image(gallery.template)
    gallery.put(later, replacement)
    assert gallery.uses(first) == [], "a later run replaced it"
    assert gallery.uses(second, replacement) == [("Products", 2, True)]
    gallery.delete(replacement)
    assert gallery.output_feed()[1][0] == "", "the earlier image is not shown instead"


def test_uses_of_an_image_of_many_rows_take_linear_time(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"workspace": gallery.space.id, "images": [gallery.images[0].id], "items": 10, "limit": 10}
    with gallery.transaction() as db:
        plan = str(db.execute(text(f"EXPLAIN {image_deletion._FEEDS.text}"), parameters).all())
    assert "Anti Join" not in plan
    monkeypatch.setattr(image_deletion, "MAX_ITEMS", 1)
    assert gallery.uses(*gallery.images) == [("Products", 1, False)]


def test_image_of_a_run_in_progress_is_not_deleted(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = gallery.images
    with gallery.transaction() as db:
        db.get_one(RunItem, (gallery.space.id, gallery.run.id, 3)).image_id = first.id
    with pytest.raises(ImageInUseError, match="in progress"):
        gallery.delete(first, second)
    monkeypatch.setattr(image_deletion, "MAX_ITEMS", 0)
    with pytest.raises(ImageInUseError, match="rows of runs"):
        gallery.delete(second)


def test_connection_of_deleted_images_is_kept(gallery: Gallery) -> None:
    gallery.delete(*gallery.images)
    with gallery.transaction() as db, pytest.raises(ConnectionInUseError, match="2 images that were deleted"):
        delete_connection(db, list_connections(db, gallery.space.id)[0])
