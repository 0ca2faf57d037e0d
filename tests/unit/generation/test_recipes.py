from datetime import UTC, datetime

from cwz_web.generation.models import Template
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document


def test_how_a_template_is_counts_at_once_by_its_id_and_by_its_slug(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    template = make.template(space, name="Card")
    make.template(other, name="Other card")
    recipes = make.services.recipes
    first = recipes.state(template.id)
    assert first is not None
    assert (first.template_id, first.workspace_id, first.version) == (template.id, space.id, 1)
    assert recipes.state_by_slug(space.id, "card") == first
    assert recipes.state_by_slug(other.id, "card") is None
    assert recipes.state_by_slug(space.id, "other-card") is None
    wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
    with make.database.transaction(space.id) as db:
        publish(db, db.get_one(Template, (space.id, template.id)), wider)
    second = recipes.state_by_slug(space.id, "card")
    assert second is not None
    assert (second.version, recipes.of(second).design.document) == (2, wider)
    with make.database.transaction(space.id) as db:
        db.get_one(Template, (space.id, template.id)).deleted_at = datetime.now(UTC)
    assert recipes.state(template.id) is recipes.state_by_slug(space.id, "card") is None
