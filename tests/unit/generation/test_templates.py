from cwz_web.generation.models import Template
from cwz_web.generation.templates import find_template, open_design, publish
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document


def test_a_change_is_a_new_version_and_the_old_one_stays(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
    with make.database.transaction(space.id) as db:
        publish(db, db.get_one(Template, (space.id, template.id)), wider)
    with make.database.transaction(space.id) as db:
        template = db.get_one(Template, (space.id, template.id))
        assert template.version == 2
        assert open_design(db, template).document.canvas.width == 500
        assert open_design(db, template, 1).document.canvas.width == 300


def test_a_template_is_found_by_id_and_by_slug_in_its_own_workspace_only(make: Factory) -> None:
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


def test_names_may_be_shared_and_slugs_are_not(make: Factory) -> None:
    space = make.workspace()
    assert [make.template(space, name="Card").slug for _ in range(3)] == ["card", "card-2", "card-3"]
