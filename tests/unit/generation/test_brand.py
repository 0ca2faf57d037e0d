"""Tests of a workspace's brand: saving it, what a change concerns, and its changes in templates."""

from typing import Any
from uuid import UUID

import pytest

from cwz_web.generation import brand as module
from cwz_web.generation.brand import (
    BrandChangedError,
    BrandError,
    BrandUpdate,
    SavedBrand,
    count_uses,
    find_outdated,
    find_templates,
    load_brand,
    save_brand,
    update_templates,
)
from cwz_web.generation.drafts import load_draft, save_draft
from cwz_web.generation.models import Template, Upload
from cwz_web.generation.templates import load_design
from cwz_web.generation.uploads import UploadInUseError, delete_upload
from cwz_web.imaging.brand import Brand, Entry
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, jpeg, small_document

ORANGE, GREEN = "#ff5500", "#00aa55"


def brand_of(color: str = ORANGE, **more: Any) -> Brand:
    return Brand.model_validate({"colors": {"primary": color}, **more})


def document_of(color: str = ORANGE, **more: Any) -> dict[str, Any]:
    """Return a document whose title has the color `primary`."""
    document = small_document(brand={"colors": {"primary": color}})
    document["layers"][1] |= {"color": "brand:primary", **more}
    return document


class Space:
    """A workspace with a brand."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space = make.workspace()
        self.account = make.member(self.space)

    def save(self, brand: Brand, revision: int | None = 0) -> SavedBrand:
        with self.make.database.transaction(self.space.id) as db:
            return save_brand(db, self.space.id, brand, revision)

    def update(
        self, saved: SavedBrand, renamed: dict[Entry, str] | None = None, *, with_publishing: bool = False
    ) -> list[BrandUpdate]:
        with self.make.database.transaction(self.space.id) as db:
            found = find_templates(db, self.space.id, find_outdated(db, self.space.id, saved.brand, renamed))
            return update_templates(db, saved, found, renamed, publish_as=self.account.id if with_publishing else None)

    def delete(self, upload: Upload) -> None:
        with self.make.database.transaction(self.space.id) as db:
            delete_upload(db, db.get_one(Upload, (self.space.id, upload.id)))

    def outdated(self, brand: Brand) -> list[UUID]:
        with self.make.database.transaction(self.space.id) as db:
            return find_outdated(db, self.space.id, brand)

    def colors(self, template: Template) -> tuple[dict[str, str], dict[str, str]]:
        """Return the brand's colors in the published version and in the draft."""
        with self.make.database.transaction(self.space.id) as db:
            current = db.get_one(Template, (self.space.id, template.id))
            return load_design(db, current).document.brand.colors, load_draft(db, current).document.brand.colors


@pytest.fixture
def space(make: Factory) -> Space:
    return Space(make)


class TestSaving:
    def test_a_brand_is_kept_in_the_order_of_its_entries(self, space: Space) -> None:
        names = ["zebra", "apple", "mango"]
        space.save(Brand(colors=dict.fromkeys(names, ORANGE)))
        with space.make.database.transaction(space.space.id) as db:
            saved = load_brand(db, space.space.id)
        assert (list(saved.brand.colors), saved.revision) == (names, 1)

    def test_the_later_of_two_changes_of_one_revision_is_refused(self, space: Space) -> None:
        space.save(brand_of())
        with pytest.raises(BrandChangedError):
            space.save(brand_of(GREEN))
        space.save(brand_of(GREEN), revision=1)

    def test_without_a_revision_any_brand_is_replaced(self, space: Space) -> None:
        space.save(brand_of())
        assert space.save(brand_of(GREEN), revision=None) == SavedBrand(brand_of(GREEN), 2)

    def test_logos_and_fonts_are_uploads_of_the_workspace(self, space: Space) -> None:
        image = space.make.upload(space.space, jpeg())
        other = space.make.upload(space.make.workspace(), jpeg(9, 9))
        for brand, message in (
            (brand_of(logos={"logo": other.reference}), "The logo “logo” is not an uploaded image of this workspace"),
            (brand_of(fonts={"body": image.reference}), "The font “body” is not an uploaded font of this workspace"),
            (
                brand_of(styles={"big": {"font": other.reference}}),
                "The font of the style “big” is not an uploaded",
            ),
            (Brand(colors={f"c{n}": ORANGE for n in range(51)}), "at most 50 colors"),
        ):
            with pytest.raises(BrandError, match=message):
                space.save(brand)
        assert space.save(brand_of(logos={"logo": image.reference})).revision == 1

    def test_an_upload_of_the_brand_is_not_deleted_and_a_deleted_one_not_used(self, space: Space) -> None:
        logo = space.make.upload(space.space, jpeg())
        space.save(brand_of(logos={"logo": logo.reference}))
        with pytest.raises(UploadInUseError, match="is used in the brand"):
            space.delete(logo)
        space.save(brand_of(), revision=1)
        space.delete(logo)
        with pytest.raises(BrandError, match="Choose another one"):
            space.save(brand_of(logos={"logo": logo.reference}), revision=2)


class TestUpdating:
    def test_a_draft_changes_and_the_published_version_does_not(self, space: Space) -> None:
        template = space.make.template(space.space, document_of())
        (update,) = space.update(space.save(brand_of(GREEN)))
        assert (update.template.id, update.version, update.problem) == (template.id, 0, "")
        assert space.colors(template) == ({"primary": ORANGE}, {"primary": GREEN})
        assert space.outdated(brand_of(GREEN)) == []

    def test_publishing_leaves_other_unpublished_changes_in_their_draft(self, space: Space) -> None:
        published, edited = (space.make.template(space.space, document_of()) for _ in range(2))
        with space.make.database.transaction(space.space.id) as db:
            current = db.get_one(Template, (space.space.id, edited.id))
            save_draft(db, current, ImageTemplate.model_validate(document_of(size=30)), "size")
        updates = space.update(space.save(brand_of(GREEN)), with_publishing=True)
        assert {each.template.id: each.version for each in updates} == {published.id: 2, edited.id: 0}
        assert space.colors(edited) == ({"primary": ORANGE}, {"primary": GREEN})

    def test_templates_without_the_entry_and_those_of_other_workspaces_do_not_change(self, space: Space) -> None:
        space.make.template(space.space)
        space.make.template(space.space, document_of(GREEN))
        space.make.template(space.make.workspace(), document_of())
        assert space.update(space.save(brand_of(GREEN))) == []

    def test_a_deleted_entry_changes_nothing_and_a_renamed_one_is_followed(self, space: Space) -> None:
        template = space.make.template(space.space, document_of())
        assert space.update(space.save(Brand())) == []
        renamed: dict[Entry, str] = {("color", "primary"): "accent"}
        space.update(space.save(Brand(colors={"accent": GREEN}), revision=1), renamed)
        assert space.colors(template)[1] == {"accent": GREEN}

    def test_a_template_that_does_not_fit_is_named_with_the_reason(self, space: Space) -> None:
        style = {"font": "Inter", "weight": 400, "size": 24, "color": ORANGE, "line_height": 1.2}
        document = small_document(brand={"styles": {"title": style}})
        document["layers"][1] |= {"style": "brand:title", "fit": "grow", "max_size": 30, **style}
        template = space.make.template(space.space, document)
        (update,) = space.update(space.save(Brand.model_validate({"styles": {"title": {**style, "size": 60}}})))
        assert (update.template.id, "maximum size is smaller" in update.problem) == (template.id, True)

    def test_one_request_updates_a_limited_number(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
        for _ in range(3):
            space.make.template(space.space, document_of())
        monkeypatch.setattr(module, "MAX_TEMPLATES", 2)
        saved = space.save(brand_of(GREEN))
        assert [len(space.update(saved)) for _ in range(3)] == [2, 1, 0]

    def test_uses_are_counted_by_templates(self, space: Space) -> None:
        for color in (ORANGE, GREEN):
            space.make.template(space.space, document_of(color))
        with space.make.database.transaction(space.space.id) as db:
            assert count_uses(db, space.space.id) == {("color", "primary"): 2}
