from cwz_web.generation.models import Template
from cwz_web.generation.templates import find_template, load_design, publish
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document


def test_publishing_keeps_earlier_versions(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
    with make.database.transaction(space.id) as db:
        publish(db, db.get_one(Template, (space.id, template.id)), wider)
    with make.database.transaction(space.id) as db:
        template = db.get_one(Template, (space.id, template.id))
        assert template.version == 2
        assert load_design(db, template).document.canvas.width == 500
        assert load_design(db, template, 1).document.canvas.width == 300


def test_template_is_found_by_id_and_slug_within_workspace(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    template = make.template(space, name="Spring Sale!")
    assert template.slug == "spring-sale"
    for name in ("spring-sale", str(template.id)):
        with make.database.transaction(space.id) as db:
            found = find_template(db, space.id, name)
            assert found is not None
            assert found.id == template.id
        with make.database.transaction(other.id) as db:
            assert find_template(db, other.id, name) is None


def test_equal_names_get_different_slugs(make: Factory) -> None:
    space = make.workspace()
    assert [make.template(space, name="Card").slug for _ in range(3)] == ["card", "card-2", "card-3"]
