"""The page of uploads: files of a form, one upload, and what the roles may do."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp
from webtest import Upload as File

from cwz_web.generation.brand import load_brand, save_brand
from cwz_web.generation.drafts import has_draft
from cwz_web.generation.models import Template, Upload
from cwz_web.imaging.brand import Brand
from cwz_web.imaging.decoding import read_image_size
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.storage.connections import upload_key
from cwz_web.storage.contract import ObjectNotFoundError, StorageError
from cwz_web.web.rate_limits import RateLimiter
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import FONT, Factory, jpeg, local_bucket, sign_in, small_document, small_font, token_of


class Library:
    """A workspace and a user on its page of uploads."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        sign_in(app, make.member(self.space, role))
        self.path = f"/w/{self.space.slug}/uploads"

    def send(self, *files: tuple[str, bytes], path: str = "", status: int = 303) -> Any:
        """Send files as the form does."""
        fields = [("csrf_token", token_of(self.app, "/account")), *(("file", File(name, data)) for name, data in files)]
        return self.app.post(self.path + path, fields, status=status, content_type="multipart/form-data")

    def post(self, upload: Upload, action: str, /, status: int = 303, **fields: str) -> Any:
        fields["csrf_token"] = token_of(self.app, "/account")
        return self.app.post(f"{self.path}/{upload.id}/{action}", fields, status=status)

    @property
    def uploads(self) -> list[Upload]:
        """The uploads in the library, oldest first."""
        with self.make.database.transaction(self.space.id) as db:
            return list(db.query(Upload).where(Upload.deleted_at.is_(None)).order_by(Upload.id))

    @property
    def logo(self) -> str:
        """The logo of the brand."""
        with self.make.database.transaction(self.space.id) as db:
            return load_brand(db, self.space.id).brand.logos["main"]

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def library(app: TestApp, make: Factory) -> Library:
    return Library(app, make)


def test_files_of_a_form_are_listed(library: Library) -> None:
    page = library.send(("Red logo.jpg", jpeg()), ("font.ttf", small_font())).follow()
    assert [name.text for name in page.html.select("#uploads strong")] == ["Caveat Bold", "Red logo"]
    assert "60 × 40" in page.text
    assert library.log == ["upload.add", "upload.add"]
    [thumbnail, _] = page.html.select("#uploads img")
    answer = library.app.get(thumbnail["src"])
    assert answer.content_type == "image/webp"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    page = library.app.get(f"{library.path}?kind=image&name=RED")
    assert [name.text for name in page.html.select("#uploads strong")] == ["Red logo"]


def test_valid_files_are_stored_whatever_the_others_are(library: Library) -> None:
    files = (("a.jpg", jpeg()), ("<b>.tiff", b"II*\0" + bytes(9)), ("c.ttf", FONT.read_bytes()[:900]))
    page = library.send(*files, status=422)
    errors = [line.text.strip() for line in page.html.select(".problem li")]
    assert errors[0].startswith("<b>.tiff: The file is a TIFF image, which is not supported")
    assert errors[1].startswith("c.ttf: The font is damaged")
    assert [upload.name for upload in library.uploads] == ["a"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "Choose a file"),
        ([("a.jpg", b"")], "The file is empty"),
        ([("a.svg", b"<svg " + bytes(MAX_UPLOAD_BYTES))], "larger than 16 MB"),
        ([(f"{number}.jpg", b"x") for number in range(21)], "at most 20 files at once"),
    ],
    ids=["none", "empty", "large", "many"],
)
def test_form_without_a_valid_file_is_rejected(library: Library, files: list[tuple[str, bytes]], message: str) -> None:
    assert message in library.send(*files, status=422).text
    assert library.uploads == []


def test_storage_that_fails_leaves_no_upload(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(*_: object, **__: object) -> None:
        raise StorageError("The bucket is not reachable")

    monkeypatch.setattr(type(local_bucket(library.make.services)), "put", put)
    assert "logo.jpg: The bucket is not reachable" in library.send(("logo.jpg", jpeg()), status=422).html.text
    assert library.make.count(Upload, library.space.id) == 0


def test_every_file_counts_for_the_rate_limit(app_with: Callable[[Services], TestApp], make: Factory) -> None:
    limiter = RateLimiter("memory://", {"upload.workspace": "2 per hour"})
    library = Library(app_with(dataclasses.replace(make.services, limiter=limiter)), make)
    files = [(f"{number}.jpg", jpeg(9 + number, 9)) for number in range(3)]
    assert "2.jpg: Too many uploads" in library.send(*files, status=422).html.text
    assert len(library.uploads) == 2


def test_download_cannot_be_opened_as_a_page(library: Library) -> None:
    library.send(("../<script>.jpg", jpeg()))
    [upload] = library.uploads
    answer = library.app.get(f"{library.path}/{upload.id}/file")
    assert read_image_size(answer.body) == (60, 40)
    assert answer.content_type == "image/jpeg"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="script.jpg"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_upload_is_renamed(library: Library) -> None:
    upload = library.make.upload(library.space, jpeg())
    library.post(upload, "name", name="Summer logo")
    assert [each.name for each in library.uploads] == ["Summer logo"]
    assert library.post(upload, "name", name="", status=422).html.find(id="name-error") is not None
    assert library.log == ["upload.rename"]


def test_upload_is_deleted_and_restored(library: Library) -> None:
    upload = library.make.upload(library.space, jpeg())
    page = library.post(upload, "delete").follow()
    assert "This upload was deleted just now" in " ".join(page.html.find(role="status").text.split())
    assert library.uploads == []
    assert "Logo" in library.app.get(f"{library.path}?state=deleted").html.find(id="uploads").text
    library.post(upload, "restore")
    assert len(library.uploads) == 1
    assert library.log == ["upload.delete", "upload.restore"]


def test_upload_is_deleted_permanently(library: Library) -> None:
    upload = library.make.upload(library.space, jpeg())
    library.post(upload, "purge", status=422)
    library.post(upload, "delete")
    library.post(upload, "purge")
    library.app.get(f"{library.path}/{upload.id}", status=404)
    with pytest.raises(ObjectNotFoundError):
        local_bucket(library.make.services).get(upload_key(library.space.id, upload.digest))
    assert library.log[:2] == ["upload.delete", "upload.purge"]


def test_upload_in_use_says_where(library: Library) -> None:
    upload = library.make.upload(library.space, jpeg())
    document = small_document()
    document["layers"][0]["source"] = upload.reference
    template = library.make.template(library.space, document, name="Sale card")
    page = library.app.get(f"{library.path}/{upload.id}")
    assert page.html.select_one("tbody th a")["href"].endswith(f"/templates/{template.id}")
    assert "Used in 1 template" in library.app.get(library.path).text
    assert "Logo is used in “Sale card”" in library.post(upload, "delete", status=409).text
    assert len(library.uploads) == 1


def test_file_that_is_still_shown_is_not_deleted_permanently(library: Library) -> None:
    upload = library.make.upload(library.space, jpeg())
    library.post(upload, "delete")
    document = small_document()
    document["fields"][1]["default"] = upload.reference
    library.make.template(library.space, document)
    assert "is kept" in library.post(upload, "purge", status=409).text


def test_panel_of_the_editor(library: Library) -> None:
    new = library.send(("logo.jpg", jpeg()), path="/panel", status=200)
    [upload] = library.uploads
    item = new.html.li
    assert (item["data-upload-id"], item["data-address"]) == (str(upload.id), upload.reference)
    assert (item["data-width"], item["data-height"], item["data-kind"]) == ("60", "40", "image")
    assert (item["draggable"], item.img["src"]) == ("true", f"{library.path}/{upload.id}/thumbnail")
    assert " ".join(item.button.text.split()) == "Add logo"
    panel = library.app.get(f"{library.path}/panel?kind=image&name=logo")
    assert str(panel.html.li) == str(item)
    assert "<html" not in panel.text
    assert "No uploads match" in library.app.get(f"{library.path}/panel?kind=font").text
    error = library.send(("a.pdf", b"%PDF-1.7"), path="/panel", status=422)
    assert error.html.li["role"] == "alert"
    assert error.html.li.text.startswith("a.pdf: The file is a PDF document")


def test_single_file_for_scripts(library: Library) -> None:
    new = library.send(("logo.jpg", jpeg()), path="/file", status=200).json
    [upload] = library.uploads
    assert (new["id"], new["reference"], new["width"]) == (str(upload.id), upload.reference, 60)
    assert "PDF" in library.send(("a.pdf", b"%PDF-1.7"), path="/file", status=422).json["error"]
    assert library.send(path="/file", status=422).json["error"] == "Choose a file"
    library.app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    error = library.send(("a.pdf", b"%PDF-1.7"), path="/file", status=422).json["error"]
    assert error.startswith("Die Datei ist ein PDF-Dokument und wird nicht unterstützt")


def test_support_agent_sees_only(app: TestApp, make: Factory) -> None:
    library = Library(app, make, Role.SUPPORT)
    upload = make.upload(library.space, jpeg())
    assert not library.app.get(library.path).html.select("input[type=file]")
    assert "Rename" not in library.app.get(f"{library.path}/{upload.id}").text
    library.send(("a.jpg", jpeg()), status=403)
    for action in ("name", "delete", "restore", "purge"):
        library.post(upload, action, status=403)


def test_uploads_of_another_workspace_do_not_exist(library: Library) -> None:
    foreign = library.make.upload(library.make.workspace(), jpeg())
    for name in ("", "/thumbnail", "/file"):
        library.app.get(f"{library.path}/{foreign.id}{name}", status=404)
    library.post(foreign, "delete", status=404)


class TestReplacement:
    """Replacing an upload on its page."""

    def template(self, library: Library, upload: Upload) -> Template:
        document = small_document()
        document["fields"][1]["default"] = upload.reference
        return library.make.template(library.space, document, name="Sale card")

    def form(self, library: Library, upload: Upload) -> Any:
        page = library.app.get(f"{library.path}/{upload.id}").click("Replace everywhere")
        assert page.html.select_one("tbody th").text.strip() == "Sale card"
        assert "A draft, or version 2 if you publish" in page.text
        return next(form for form in page.forms.values() if "publish" in form.fields)

    def test_new_file_takes_the_place_and_is_undone(self, library: Library) -> None:
        upload = library.make.upload(library.space, jpeg())
        template = self.template(library, upload)
        form = self.form(library, upload)
        form["file"] = File("new.jpg", jpeg(30, 40))
        page = form.submit()
        assert page.html.h1.text == "Replaced in 1 template"
        assert "The new image has other proportions" in page.text
        assert has_draft(library.make.reload(template))
        assert [each.name for each in library.uploads] == ["Logo", "new"]
        undo = next(form for form in page.forms.values() if form.action.endswith("/undo-replace"))
        assert "Sale card shows Logo again" in " ".join(undo.submit().html.main.text.split())
        assert not has_draft(library.make.reload(template))
        assert library.log == ["upload.add", "upload.replace", "template.draft", "template.draft"]

    def test_brand_changes_with_the_templates_and_is_undone(self, library: Library) -> None:
        upload, other = (
            library.make.upload(library.space, jpeg(), "Old"),
            library.make.upload(library.space, jpeg(9, 6)),
        )
        with library.make.database.transaction(library.space.id) as db:
            save_brand(db, library.space.id, Brand(logos={"main": upload.reference}), 0)
        assert "Used in the brand" in " ".join(library.app.get(library.path).html.main.text.split())
        page = library.app.get(f"{library.path}/{upload.id}")
        assert "The brand: logo “main”" in page.text.replace(
            f'<a href="/w/{library.space.slug}/brand">brand</a>', "brand"
        )
        assert "The brand uses this upload" in page.text
        form = next(form for form in page.click("Replace everywhere").forms.values() if "upload" in form.fields)
        form["upload"] = str(other.id)
        page = form.submit()
        assert page.html.h1.text == "Replaced in the brand"
        assert library.logo == other.reference
        undo = next(form for form in page.forms.values() if form.action.endswith("/undo-replace"))
        assert "The brand uses Old again" in " ".join(undo.submit().html.main.text.split())
        assert library.logo == upload.reference
        assert "The brand was changed since" in " ".join(undo.submit().html.main.text.split())
        assert library.log == ["upload.replace", "brand.change", "brand.change"]

    def test_another_upload_is_published(self, library: Library) -> None:
        upload, other = library.make.upload(library.space, jpeg()), library.make.upload(library.space, jpeg(90, 60))
        template = self.template(library, upload)
        form = self.form(library, upload)
        form["upload"], form["publish"] = str(other.id), True
        page = form.submit()
        assert "Version 2 was published" in page.text
        assert "other proportions" not in page.text
        undo = next(form for form in page.forms.values() if form.action.endswith("/undo-replace"))
        undo.submit()
        assert library.make.reload(template).version == 3

    def test_invalid_choice_changes_nothing(self, library: Library) -> None:
        upload = library.make.upload(library.space, jpeg())
        foreign = library.make.upload(library.make.workspace(), jpeg())
        template = self.template(library, upload)
        assert "Choose a file or another upload" in library.post(upload, "replace", status=422).text
        assert "was deleted" in library.post(upload, "replace", status=422, upload=str(foreign.id)).text
        assert "is the same" in library.post(upload, "replace", status=422, upload=str(upload.id)).text
        assert not has_draft(library.make.reload(template))

    def test_forged_undo_touches_no_foreign_template(self, library: Library) -> None:
        upload = library.make.upload(library.space, jpeg())
        foreign = library.make.template(library.make.workspace())
        fields = {f"step.{foreign.id}": "1", "step.x": "1", f"version.{foreign.id}": "9" * 20}
        assert "Undone in 0 templates" in library.post(upload, "undo-replace", status=200, **fields).text

    def test_unused_upload_has_nothing_to_replace(self, library: Library) -> None:
        upload = library.make.upload(library.space, jpeg())
        assert "Nothing to replace" in library.app.get(f"{library.path}/{upload.id}/replace").text
