from datetime import timedelta
from typing import Any

import pytest

from cwz_web.generation import drafts
from cwz_web.generation.comments import add_comment, count_open_comments
from cwz_web.generation.drafts import (
    discard_draft,
    find_undo_and_redo,
    has_draft,
    load_draft,
    publish_draft,
    redo,
    save_draft,
    undo,
)
from cwz_web.generation.models import Template, TemplateStep
from cwz_web.generation.templates import list_versions, load_design, publish
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import change_canvas, change_layer
from tests.factories import Factory


@pytest.fixture(autouse=True)
def each_change_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MERGE_WITHIN", timedelta(0))


class Desk:
    """A template on a user's desk."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space = make.workspace()
        self.person = make.member(self.space)
        self.template = make.template(self.space)

    def do(self, work: Any) -> Any:
        """Something with the template, in a transaction of its own."""
        with self.make.database.transaction(self.space.id) as db:
            return work(db, db.get_one(Template, (self.space.id, self.template.id)))

    def widen(self, width: int, what: str = "canvas") -> bool:
        def save(db: Any, template: Template) -> bool:
            wider = change_canvas(load_draft(db, template).document, {"width": width})
            return save_draft(db, template, wider, what)

        began: bool = self.do(save)
        return began

    @property
    def width(self) -> int:
        width: int = self.do(lambda db, template: load_draft(db, template).document.canvas.width)
        return width

    @property
    def can(self) -> tuple[bool, bool]:
        can: tuple[bool, bool] = self.do(find_undo_and_redo)
        return can


@pytest.fixture
def desk(make: Factory) -> Desk:
    return Desk(make)


def test_draft_does_not_change_published_version(desk: Desk) -> None:
    assert desk.widen(400)
    assert not desk.widen(401), "it has begun already"
    assert desk.width == 401
    assert desk.do(lambda db, template: load_design(db, template).document.canvas.width) == 300


def test_undo_and_redo_stop_at_the_ends(desk: Desk) -> None:
    assert desk.can == (False, False)
    for width in (400, 500):
        desk.widen(width)
    seen = [desk.width]
    while desk.do(undo):
        seen.append(desk.width)
    assert seen == [500, 400, 300]
    assert desk.can == (False, True)
    while desk.do(redo):
        seen.append(desk.width)
    assert seen[3:] == [400, 500]
    assert desk.can == (True, False)


def test_change_after_undo_discards_undone_steps(desk: Desk) -> None:
    for width in (400, 500):
        desk.widen(width)
    desk.do(undo)
    desk.widen(600)
    assert desk.can == (True, False)
    desk.do(undo)
    assert desk.width == 400


def test_change_after_undoing_everything_starts_new_draft(desk: Desk) -> None:
    desk.widen(400)
    desk.do(undo)
    assert desk.width == 300
    assert desk.widen(500)
    assert desk.do(undo)
    assert desk.width == 300


def test_quick_changes_of_same_property_are_merged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MERGE_WITHIN", timedelta(hours=1))
    for width in (400, 410, 420):
        desk.widen(width)
    desk.widen(500, "something else")
    desk.do(undo)
    assert desk.width == 420
    desk.do(undo)
    assert desk.width == 300


def test_number_of_steps_is_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MAX_STEPS", 5)
    for width in range(400, 412):
        desk.widen(width)
    assert desk.make.count(TemplateStep, desk.space.id) == 6
    went = 0
    while desk.do(undo):
        went += 1
    assert went == 5
    assert desk.width == 406, "what was forgotten is never taken for what is published"


def test_size_of_steps_is_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MAX_STEP_BYTES", 1)
    monkeypatch.setattr(drafts, "MIN_STEPS", 2)
    for width in range(400, 406):
        desk.widen(width)
    assert desk.make.count(TemplateStep, desk.space.id) == 3


def test_publishing_creates_version_and_ends_draft(desk: Desk) -> None:
    desk.widen(400)
    assert desk.do(lambda db, template: publish_draft(db, template, desk.person.id))
    assert not desk.do(lambda db, template: publish_draft(db, template, desk.person.id))
    assert not desk.do(lambda db, template: has_draft(template))
    versions = desk.do(lambda db, template: [(v.number, who) for v, who in list_versions(db, template)])
    assert versions == [(2, desk.person.name), (1, None)]
    assert desk.do(lambda db, template: load_design(db, template, 1).document.canvas.width) == 300


def test_steps_can_be_undone_after_publishing(desk: Desk) -> None:
    desk.widen(400)
    desk.do(lambda db, template: publish_draft(db, template, desk.person.id))
    assert desk.do(undo)
    assert (desk.width, desk.do(lambda db, template: has_draft(template))) == (300, True)
    assert desk.do(redo)
    assert (desk.width, desk.do(lambda db, template: has_draft(template))) == (400, False)
    assert desk.widen(500)
    assert desk.do(undo)
    assert desk.width == 400


def test_discarding_restores_published_version_and_can_be_undone(desk: Desk) -> None:
    desk.widen(400)
    assert desk.do(discard_draft)
    assert not desk.do(discard_draft)
    assert (desk.width, desk.do(lambda db, template: has_draft(template))) == (300, False)
    assert desk.do(undo)
    assert (desk.width, desk.do(lambda db, template: has_draft(template))) == (400, True)


def test_draft_starts_from_what_was_published_elsewhere(desk: Desk) -> None:
    desk.widen(400)
    desk.do(lambda db, template: publish_draft(db, template, desk.person.id))

    def publish_elsewhere(db: Any, template: Template) -> None:
        publish(db, template, change_canvas(load_draft(db, template).document, {"width": 700}))

    desk.do(publish_elsewhere)
    assert desk.width == 700
    desk.widen(800)
    assert desk.do(undo)
    assert (desk.width, desk.do(lambda db, template: has_draft(template))) == (700, False)
    assert desk.do(undo)
    assert desk.width == 400


def test_step_with_older_document_version_is_migrated(desk: Desk) -> None:
    desk.widen(400)

    def make_old(db: Any, template: Template) -> None:
        step = db.get_one(TemplateStep, (template.workspace_id, template.id, 1))
        shape = {"type": "shape", "name": "s", "x": 0, "y": 0, "width": 9, "height": 9, "show_if": "title"}
        step.document = {**step.document, "version": 1, "layers": [shape]}

    desk.do(make_old)
    document: ImageTemplate = desk.do(lambda db, template: load_draft(db, template).document)
    assert document.layers[0].show_if is not None


class TestCommentsOfRenamedLayer:
    @pytest.fixture
    def desk(self, make: Factory) -> Desk:
        desk = Desk(make)
        account = desk.person
        first = self.names(desk)[0]
        desk.do(lambda db, template: add_comment(db, template, layer=first, text="Larger", author=account))
        return desk

    def names(self, desk: Desk) -> list[str]:
        names: list[str] = desk.do(
            lambda db, template: [each.name for each in load_draft(db, template).document.layers]
        )
        return names

    def rename(self, desk: Desk, **more: Any) -> None:
        def save(db: Any, template: Template) -> None:
            document = load_draft(db, template).document
            save_draft(
                db, template, change_layer(document, document.layers[0].name, {"name": "Headline", **more}), "name"
            )

        desk.do(save)

    def commented(self, desk: Desk) -> list[str]:
        return list(desk.do(count_open_comments))

    def test_comments_follow_with_undo_and_redo(self, desk: Desk) -> None:
        first = self.names(desk)[0]
        self.rename(desk, x=3)
        assert self.commented(desk) == ["Headline"]
        desk.do(undo)
        assert self.commented(desk) == [first]
        desk.do(redo)
        assert self.commented(desk) == ["Headline"]

    def test_comments_follow_when_the_draft_is_discarded(self, desk: Desk) -> None:
        first = self.names(desk)[0]
        self.rename(desk)
        desk.widen(320)
        desk.do(discard_draft)
        assert self.commented(desk) == [first]

    def test_comments_do_not_follow_to_another_layer(self, desk: Desk) -> None:
        first, *others = self.names(desk)

        def replace(db: Any, template: Template) -> None:
            raw = load_draft(db, template).document.canonical()
            added = {"type": "shape", "name": "Other", "x": 0, "y": 0, "width": 9, "height": 9}
            save_draft(db, template, ImageTemplate.model_validate(raw | {"layers": [*raw["layers"][1:], added]}), "x")

        desk.do(replace)
        assert self.names(desk) == [*others, "Other"]
        assert self.commented(desk) == [first]
