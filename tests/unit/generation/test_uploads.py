"""The library of uploads: limits, uses, deletion and purges."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from cwz_web.feeds.row_writes import put_items
from cwz_web.generation import uploads as module
from cwz_web.generation.drafts import discard_draft, load_draft, save_draft
from cwz_web.generation.models import Template, Upload
from cwz_web.generation.templates import publish
from cwz_web.generation.upload_uses import count_templates, find_uses
from cwz_web.generation.uploads import (
    ReservedUpload,
    UploadBusyError,
    UploadFilter,
    UploadInUseError,
    UploadLimitError,
    clean_name,
    complete_upload,
    delete_upload,
    find_uploads,
    list_fonts,
    release_upload,
    reserve_upload,
    restore_upload,
)
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.uploads import PreparedUpload, UploadKind, prepare_upload
from cwz_web.ops.upload_purge import purge_deleted_uploads, purge_upload
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import ObjectNotFoundError, StorageUnreachableError
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, jpeg, local_bucket, small_document


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


def colored(number: int) -> PreparedUpload:
    """Return an image that differs from those of other numbers."""
    return prepare_upload(jpeg(8 + number, 8))


def reserve(make: Factory, space: Workspace, prepared: PreparedUpload, **more: Any) -> Any:
    with make.database.transaction(space.id) as db:
        connection_id = get_default_connection(db, space.id).id
        options = {"name": "Logo", "created_by": None, "check_limit": lambda: None} | more
        return reserve_upload(db, space.id, prepared, connection_id=connection_id, **options)


def change(make: Factory, upload: Upload, **values: Any) -> None:
    with make.database.transaction(upload.workspace_id) as db:
        db.execute(update(Upload).where(Upload.id == upload.id).values(**values))


def delete(make: Factory, upload: Upload) -> None:
    with make.database.transaction(upload.workspace_id) as db:
        delete_upload(db, db.get_one(Upload, (upload.workspace_id, upload.id)))


def document(source: str) -> dict[str, Any]:
    """Return a document with an image layer that shows a source."""
    found = small_document()
    found["layers"][0]["source"] = source
    return found


def save(make: Factory, template: Template, source: str) -> None:
    with make.database.transaction(template.workspace_id) as db:
        current = db.get_one(Template, (template.workspace_id, template.id))
        save_draft(db, current, ImageTemplate.model_validate(document(source)), "source")


def names(make: Factory, space: Workspace, filters: UploadFilter, limit: int = 9, before: UUID | None = None) -> Any:
    with make.database.transaction(space.id) as db:
        page = find_uploads(db, space.id, filters, before, limit)
        return [upload.name for upload in page.uploads], page.before


class TestLibrary:
    def test_search_by_name_and_kind(self, make: Factory, space: Workspace) -> None:
        make.upload(space, jpeg(), "Red logo")
        make.upload(space, jpeg(9, 9), "100 % off")
        make.font(space)
        make.upload(make.workspace(), jpeg(), "Red logo of others")
        assert names(make, space, UploadFilter()) == (["Caveat Bold", "100 % off", "Red logo"], None)
        assert names(make, space, UploadFilter(name="red LOGO")) == (["Red logo"], None)
        assert names(make, space, UploadFilter(name="%")) == (["100 % off"], None)
        assert names(make, space, UploadFilter(UploadKind.FONT)) == (["Caveat Bold"], None)
        with make.database.transaction(space.id) as db:
            assert [font.name for font in list_fonts(db, space.id)] == ["Caveat Bold"]

    def test_pages(self, make: Factory, space: Workspace) -> None:
        for number in range(3):
            make.upload(space, jpeg(8 + number, 8), f"Image {number}")
        first, before = names(make, space, UploadFilter(), limit=2)
        assert first == ["Image 2", "Image 1"]
        assert names(make, space, UploadFilter(), limit=2, before=before) == (["Image 0"], None)

    def test_same_file_is_one_upload(self, make: Factory, space: Workspace) -> None:
        first, again = make.upload(space, jpeg(), "Logo"), make.upload(space, jpeg(), "Copy of logo")
        assert (first.id, again.name) == (again.id, "Logo")

    def test_uploading_a_deleted_file_restores_it(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg(), "Logo")
        delete(make, upload)
        assert names(make, space, UploadFilter())[0] == []
        assert names(make, space, UploadFilter(deleted=True))[0] == ["Logo"]
        assert make.upload(space, jpeg(), "Another name").id == upload.id
        assert names(make, space, UploadFilter())[0] == ["Logo"]

    @pytest.mark.parametrize(
        ("file_name", "name"),
        [
            ("logo.png", "logo"),
            ("../../etc/passwd", "passwd"),
            ("C:\\fakepath\\Summer sale.JPEG", "Summer sale"),
            ("a\u202egnp.exe", "agnp.exe"),
            ("  two\r\nlines\x00.svg ", "two lines.svg"),
            ("x" * 300 + ".png", "x" * 100),
            (".png", ""),
            ("v1.2 final.webp", "v1.2 final"),
            ("Cafe\u0301.ttf", "Café"),
            ("<b>bold</b>.gif", "b>"),
        ],
    )
    def test_name_of_a_file_is_cleaned(self, file_name: str, name: str) -> None:
        assert clean_name(file_name) == name


class TestLimits:
    def test_number_of_uploads(self, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_UPLOADS", 1)
        upload = make.upload(space, jpeg())
        delete(make, upload)
        with pytest.raises(UploadLimitError, match="at most 1 uploads"):
            reserve(make, space, colored(1))
        assert reserve(make, space, prepare_upload(jpeg())).id == upload.id

    def test_number_of_fonts(self, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        font = make.font(space)
        delete(make, font)
        monkeypatch.setattr(module, "MAX_FONTS", 0)
        with (
            make.database.transaction(space.id) as db,
            pytest.raises(UploadLimitError, match="at most 0 fonts"),
        ):
            restore_upload(db, db.get_one(Upload, (space.id, font.id)))

    def test_reserved_upload_is_not_in_the_library(self, make: Factory, space: Workspace) -> None:
        reserved = reserve(make, space, colored(1))
        assert names(make, space, UploadFilter())[0] == []
        with make.database.transaction(space.id) as db:
            release_upload(db, space.id, reserved)
        assert make.count(Upload, space.id) == 0

    def test_file_that_is_being_removed_is_not_uploaded(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        delete(make, upload)
        change(make, upload, is_purging=True)
        with pytest.raises(UploadBusyError):
            reserve(make, space, prepare_upload(jpeg()))
        with make.database.transaction(space.id) as db, pytest.raises(UploadBusyError):
            complete_upload(db, space.id, ReservedUpload(upload.id, is_new=False, connection_id=upload.connection_id))
        with make.database.transaction(space.id) as db, pytest.raises(UploadBusyError):
            restore_upload(db, db.get_one(Upload, (space.id, upload.id)))


class TestUses:
    def test_drafts_and_versions(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        template = make.template(space, document(upload.reference))
        with make.database.transaction(space.id) as db:
            current = db.get_one(Template, (space.id, template.id))
            for source in (upload.reference, "", upload.reference, ""):
                publish(db, current, ImageTemplate.model_validate(document(source)))
        with make.database.transaction(space.id) as db:
            [use] = find_uses(db, upload)
            assert (use.versions, use.earlier_ranges, use.in_draft, use.is_current) == (
                [1, 2, 4],
                "1–2, 4",
                False,
                False,
            )
            assert count_templates(db, space.id, [upload]) == {}
        save(make, template, upload.reference)
        with make.database.transaction(space.id) as db:
            [use] = find_uses(db, upload)
            assert (use.in_draft, use.is_current) == (True, True)
            assert count_templates(db, space.id, [upload]) == {upload.digest: 1}
            discard_draft(db, db.get_one(Template, (space.id, template.id)))
            [use] = find_uses(db, upload)
            assert (use.in_draft, use.in_history) == (False, True)
            assert count_templates(db, space.id, [upload]) == {}

    @pytest.mark.parametrize(
        "place",
        [
            lambda found, reference: found["fields"][1].update(default=reference),
            lambda found, reference: found["layers"][1].update(text=f"see {reference} here"),
            lambda found, reference: found["layers"][0].update(source=f"{{{{ image | default('{reference}') }}}}"),
        ],
        ids=["default", "text", "filter"],
    )
    def test_every_place_of_a_document_counts(self, make: Factory, space: Workspace, place: Any) -> None:
        upload = make.upload(space, jpeg())
        found = small_document()
        place(found, upload.reference)
        make.template(space, found)
        with make.database.transaction(space.id) as db:
            assert count_templates(db, space.id, [upload]) == {upload.digest: 1}

    def test_upload_in_use_cannot_be_deleted(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        template = make.template(space, document(""), name="Sale card")
        save(make, template, upload.reference)
        with pytest.raises(UploadInUseError, match=r"Logo is used in “Sale card”\. Replace it there first"):
            delete(make, upload)
        with make.database.transaction(space.id) as db:
            discard_draft(db, db.get_one(Template, (space.id, template.id)))
        delete(make, upload)

    def test_same_file_of_another_workspace_is_not_in_use(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        other = make.workspace()
        make.template(other, document(make.upload(other, jpeg()).reference))
        delete(make, upload)


class TestPurge:
    def purge(self, make: Factory, upload: Upload) -> bool:
        return purge_upload(make.database, make.services.providers, upload.workspace_id, upload.id)

    def test_file_and_row_of_a_deleted_upload(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        assert not self.purge(make, upload)
        delete(make, upload)
        assert self.purge(make, upload)
        assert make.count(Upload, space.id) == 0
        with pytest.raises(ObjectNotFoundError):
            local_bucket(make.services).get(upload_key(space.id, upload.digest))

    def test_only_after_some_days(self, make: Factory, space: Workspace) -> None:
        old, new = make.upload(space, jpeg()), make.upload(space, jpeg(9, 9))
        for upload in (old, new):
            delete(make, upload)
        change(make, old, deleted_at=datetime.now(UTC) - timedelta(days=31))
        assert purge_deleted_uploads(make.database, make.services.providers, 30) == 1
        assert make.reload(new).deleted_at is not None

    def test_file_that_an_earlier_version_shows_is_kept(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        template = make.template(space, document(upload.reference))
        with make.database.transaction(space.id) as db:
            publish(db, db.get_one(Template, (space.id, template.id)), ImageTemplate.model_validate(document("")))
        delete(make, upload)
        assert not self.purge(make, upload)
        assert local_bucket(make.services).get(upload_key(space.id, upload.digest))

    def test_file_that_a_step_of_a_draft_shows_is_kept(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        template = make.template(space, document(""))
        with make.database.transaction(space.id) as db:
            current = db.get_one(Template, (space.id, template.id))
            for source, step in ((upload.reference, "1"), ("", "2")):
                save_draft(db, current, ImageTemplate.model_validate(document(source)), step)
            assert load_draft(db, current).document.layers[0].model_dump()["source"] == ""
        delete(make, upload)
        assert not self.purge(make, upload)

    def test_file_that_a_row_refers_to_is_kept(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        feed = make.feed(space)
        with make.database.transaction(space.id) as db:
            put_items(db, db.merge(feed), {"a": {"image": upload.reference}})
        delete(make, upload)
        assert not self.purge(make, upload)

    def test_unreachable_storage_leaves_the_upload_deleted(
        self, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = make.upload(space, jpeg())
        delete(make, upload)

        def fail(*_: object) -> None:
            raise StorageUnreachableError("The bucket is not reachable")

        with monkeypatch.context() as patch:
            patch.setattr(type(local_bucket(make.services)), "delete", fail)
            with pytest.raises(StorageUnreachableError):
                self.purge(make, upload)
        assert not make.reload(upload).is_purging
        assert self.purge(make, upload)

    def test_interrupted_purge_is_completed(self, make: Factory, space: Workspace) -> None:
        upload = make.upload(space, jpeg())
        delete(make, upload)
        change(make, upload, is_purging=True)
        assert purge_deleted_uploads(make.database, make.services.providers, 30) == 1
