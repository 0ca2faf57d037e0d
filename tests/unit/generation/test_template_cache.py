"""The state of templates, and their cached plans."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from sqlalchemy.exc import NoResultFound

from cwz_web.db.session import Database
from cwz_web.generation.models import Template
from cwz_web.generation.template_cache import TemplateCache, TemplateVersionState
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.storage.models import Connection
from tests.factories import Factory, small_document

WIDER = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))


def find_state(template_cache: TemplateCache, template: Template) -> TemplateVersionState:
    state = template_cache.find_state(template.id)
    assert state is not None
    return state


def publish_wider(database: Database, template: Template) -> None:
    with database.transaction(template.workspace_id) as db:
        publish(db, db.get_one(Template, (template.workspace_id, template.id)), WIDER)


def test_template_is_found_by_id_and_by_slug_in_its_workspace_only(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    template = make.template(space, name="Card")
    make.template(other, name="Other card")
    cache = make.services.template_cache
    state = find_state(cache, template)
    assert (state.template_id, state.workspace_id, state.version) == (template.id, space.id, 1)
    for name in ("card", str(template.id)):
        assert cache.find_state_by_name(space.id, name) == state
        assert cache.find_state_by_name(other.id, name) is None
    assert cache.find_state_by_name(space.id, "other-card") is None


def test_published_version_is_seen_at_once_in_every_process(make: Factory) -> None:
    template = make.template(make.workspace())
    cache = make.services.template_cache
    assert cache.get_plan(find_state(cache, template)).design.version == 1
    other_process = Database(make.database.engine.url.render_as_string(hide_password=False))
    publish_wider(other_process, template)
    other_process.dispose()
    plan = cache.get_plan(find_state(cache, template))
    assert (plan.design.version, plan.design.document) == (2, WIDER)
    assert cache.get_plan(find_state(cache, template), 1).design.version == 1


def test_deleted_template_is_not_found(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space, name="Card")
    with make.database.transaction(space.id) as db:
        db.get_one(Template, (space.id, template.id)).deleted_at = datetime.now(UTC)
    assert make.services.template_cache.find_state(template.id) is None
    assert make.services.template_cache.find_state_by_name(space.id, "card") is None


def test_unknown_version_raises(make: Factory) -> None:
    cache = make.services.template_cache
    state = find_state(cache, make.template(make.workspace()))
    with pytest.raises(NoResultFound):
        cache.get_plan(state, 9)


def test_plan_is_cached_until_a_connection_changes(make: Factory) -> None:
    space = make.workspace()
    cache, template = make.services.template_cache, make.template(space)
    plan = cache.get_plan(find_state(cache, template))
    assert cache.get_plan(find_state(cache, template)) is plan
    with make.database.transaction(space.id) as db:
        db.execute(update(Connection).values(name="Renamed"))
    changed = cache.get_plan(find_state(cache, template))
    assert [connection.name for connection in changed.connections] == ["Renamed"]
