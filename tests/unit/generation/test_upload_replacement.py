"""Replacing an upload: drafts change, published versions do not, and it can be undone."""

from typing import Any
from uuid import UUID

import pytest

from cwz_web.generation import upload_replacement as module
from cwz_web.generation.brand import find_outdated, load_brand, save_brand
from cwz_web.generation.drafts import has_draft, load_draft, publish_draft, save_draft
from cwz_web.generation.models import Template, Upload
from cwz_web.generation.templates import load_design
from cwz_web.generation.upload_replacement import Replacement, replace_upload, undo_in_brand, undo_replacement
from cwz_web.generation.uploads import UploadError
from cwz_web.imaging.brand import Brand, Entry
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.workspaces.models import Workspace
from tests.factories import FONT, Factory, jpeg, small_document


class Library:
    """A workspace with two uploads, the old and the new one."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space: Workspace = make.workspace()
        self.account = make.member(self.space)
        self.old, self.new = make.upload(self.space, jpeg(), "Old"), make.upload(self.space, jpeg(9, 9), "New")

    def template(self, source: str, draft: str | None = None) -> Template:
        """Create a template that shows a source, and another one in its draft."""
        template = self.make.template(self.space, self.document(source))
        if draft is not None:
            self.draft(template, draft)
        return template

    def document(self, source: str) -> dict[str, Any]:
        document = small_document()
        document["fields"][1]["default"] = source
        return document

    def draft(self, template: Template, source: str, change: str = "image") -> None:
        with self.make.database.transaction(self.space.id) as db:
            current = db.get_one(Template, (self.space.id, template.id))
            save_draft(db, current, ImageTemplate.model_validate(self.document(source)), change)

    def replace(self, *, with_publishing: bool = False, new: Upload | None = None) -> dict[UUID, Replacement]:
        with self.make.database.transaction(self.space.id) as db:
            done = replace_upload(
                db, self.old, new or self.new, publish_as=self.account.id, with_publishing=with_publishing
            )
            return {change.template.id: change for change in done.templates}

    def undo(self, changes: dict[UUID, Replacement]) -> tuple[list[UUID], list[UUID]]:
        steps = {key: change.step for key, change in changes.items()}
        versions = {key: change.version for key, change in changes.items() if change.version}
        with self.make.database.transaction(self.space.id) as db:
            undone, changed = undo_replacement(db, self.space.id, steps, versions, self.account.id)
            return [each.id for each in undone], [each.id for each in changed]

    def shown(self, template: Template) -> tuple[str, str]:
        """Return what the published version and the draft show: `old`, `new` or a text."""
        names = {self.old.reference: "old", self.new.reference: "new"}
        with self.make.database.transaction(self.space.id) as db:
            current = db.get_one(Template, (self.space.id, template.id))
            documents = load_design(db, current).document, load_draft(db, current).document
        published, draft = (document.fields[1].default for document in documents)
        return names.get(published, published), names.get(draft, draft)


@pytest.fixture
def library(make: Factory) -> Library:
    return Library(make)


def test_draft_changes_and_the_published_version_does_not(library: Library) -> None:
    template = library.template(library.old.reference)
    changes = library.replace()
    assert changes[template.id].version == 0
    assert library.shown(template) == ("old", "new")
    assert library.undo(changes) == ([template.id], [])
    assert library.shown(template) == ("old", "old")
    assert not has_draft(library.make.reload(template))


def test_template_without_a_draft_is_published(library: Library) -> None:
    template = library.template(library.old.reference)
    changes = library.replace(with_publishing=True)
    assert changes[template.id].version == 2
    assert library.shown(template) == ("new", "new")
    with library.make.database.transaction(library.space.id) as db:
        first = load_design(db, library.make.reload(template), 1).document
    assert first.fields[1].default == library.old.reference
    assert library.undo(changes) == ([template.id], [])
    assert library.shown(template) == ("old", "old")
    assert library.make.reload(template).version == 3


def test_unpublished_changes_are_not_published(library: Library) -> None:
    template = library.template("", draft=library.old.reference)
    assert library.replace(with_publishing=True)[template.id].version == 0
    assert library.shown(template) == ("", "new")


def test_template_whose_draft_does_not_use_it_is_left_alone(library: Library) -> None:
    template = library.template(library.old.reference, draft="")
    assert library.replace(with_publishing=True) == {}
    assert library.shown(template) == ("old", "")


def test_other_templates_and_workspaces_are_left_alone(library: Library, make: Factory) -> None:
    other = Library(make)
    foreign, unrelated = other.template(other.old.reference), library.template("https://shop.example/a.jpg")
    assert foreign.workspace_id != library.space.id
    assert library.replace() == {}
    assert other.shown(foreign) == ("old", "old")
    assert library.shown(unrelated)[1] == "https://shop.example/a.jpg"


def test_two_replacements_are_two_steps(library: Library) -> None:
    template = library.template(library.old.reference)
    library.replace()
    third = library.make.upload(library.space, jpeg(5, 5), "New")
    library.old, library.new = library.new, third
    changes = library.replace()
    library.undo(changes)
    assert library.shown(template)[1] == "old"  # what was new before


def test_template_that_was_changed_since_is_not_undone(library: Library) -> None:
    edited, published = library.template(library.old.reference), library.template(library.old.reference)
    changes = library.replace()
    library.draft(edited, "https://shop.example/a.jpg")
    with library.make.database.transaction(library.space.id) as db:
        publish_draft(db, db.get_one(Template, (library.space.id, published.id)), library.account.id)
    undone, changed = library.undo(changes)
    assert undone == []
    assert set(changed) == {edited.id, published.id}


def test_undo_touches_no_other_step(library: Library) -> None:
    template = library.template("", draft="https://shop.example/a.jpg")
    step = library.make.reload(template).step
    with library.make.database.transaction(library.space.id) as db:
        for versions in ({}, {template.id: 1}):
            assert undo_replacement(db, library.space.id, {template.id: step}, versions, library.account.id)[0] == []
    assert library.shown(template)[1] == "https://shop.example/a.jpg"


def test_other_kind_and_same_file_are_refused(library: Library) -> None:
    with pytest.raises(UploadError, match="Choose another image: Caveat Bold is not one"):
        library.replace(new=library.make.font(library.space))
    with pytest.raises(UploadError, match="this one is the same"):
        library.replace(new=library.old)


def test_number_of_templates_is_limited(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TEMPLATES", 1)
    for _ in range(2):
        library.template(library.old.reference)
    with pytest.raises(UploadError, match="more than 1 templates"):
        library.replace()


class TestBrand:
    """The brand's logos and fonts are replaced with those of the templates."""

    def save(self, library: Library, revision: int, **sections: Any) -> None:
        with library.make.database.transaction(library.space.id) as db:
            save_brand(db, library.space.id, Brand.model_validate(sections), revision)

    def brand(self, library: Library) -> Brand:
        with library.make.database.transaction(library.space.id) as db:
            return load_brand(db, library.space.id).brand

    def undo(self, library: Library, *entries: Entry, revision: int) -> bool:
        with library.make.database.transaction(library.space.id) as db:
            return undo_in_brand(db, library.old, entries, revision)

    def test_only_entries_with_the_upload_change(self, library: Library) -> None:
        third = library.make.upload(library.space, jpeg(5, 5), "Third")
        self.save(library, 0, logos={"main": library.old.reference, "other": third.reference})
        library.replace()
        assert self.brand(library).logos == {"main": library.new.reference, "other": third.reference}
        assert self.undo(library, ("logo", "main"), revision=2)
        assert self.brand(library).logos["main"] == library.old.reference

    def test_template_that_uses_the_logo_by_its_name_agrees_with_the_brand(self, library: Library) -> None:
        document = small_document(brand={"logos": {"main": library.old.reference}})
        document["fields"][1]["default"] = ""
        document["layers"].append({"type": "image", "name": "Logo", "source": "brand:main", "width": 9, "height": 9})
        template = library.make.template(library.space, document)
        self.save(library, 0, logos={"main": library.old.reference})
        library.replace()
        with library.make.database.transaction(library.space.id) as db:
            draft = load_draft(db, db.get_one(Template, (library.space.id, template.id))).document
            assert find_outdated(db, library.space.id, self.brand(library)) == []
        assert draft.brand.logos == {"main": library.new.reference}

    def test_fonts_of_the_brand_and_of_its_styles_change(self, library: Library) -> None:
        library.old = library.make.font(library.space)
        other = library.make.upload(library.space, FONT.read_bytes(), "Other")
        self.save(library, 0, fonts={"body": library.old.reference}, styles={"title": {"font": library.old.reference}})
        library.replace(new=other)
        brand = self.brand(library)
        assert (brand.fonts["body"], brand.styles["title"].font) == (other.reference, other.reference)

    def test_brand_that_was_changed_since_is_not_undone(self, library: Library) -> None:
        self.save(library, 0, logos={"main": library.old.reference})
        library.replace()
        self.save(library, 2, logos={"main": library.new.reference}, colors={"ink": "#111111"})
        assert not self.undo(library, ("logo", "main"), revision=2)
        assert not self.undo(library, ("logo", "gone"), revision=3)
        assert not self.undo(library, ("color", "ink"), revision=3), "a color has no upload"
        assert self.brand(library).logos["main"] == library.new.reference
