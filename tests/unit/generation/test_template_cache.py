from datetime import UTC, datetime

import pytest

from cwz_web.db.session import Database
from cwz_web.generation import template_cache as module
from cwz_web.generation.models import Template
from cwz_web.generation.template_cache import TemplateCache
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document
from tests.installation import wait_for

WIDER = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))


def test_how_a_template_is_counts_at_once_by_its_id_and_by_its_slug(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    template = make.template(space, name="Card")
    make.template(other, name="Other card")
    template_cache = make.services.template_cache
    first = template_cache.state(template.id)
    assert first is not None
    assert (first.template_id, first.workspace_id, first.version) == (template.id, space.id, 1)
    assert (
        template_cache.state_named(space.id, "card") == template_cache.state_named(space.id, str(template.id)) == first
    )
    assert (
        template_cache.state_named(other.id, "card") is template_cache.state_named(other.id, str(template.id)) is None
    )
    assert template_cache.state_named(space.id, "other-card") is None
    publish_wider(make.database, template)
    second = template_cache.state_named(space.id, "card")
    assert second is not None
    assert (second.version, template_cache.of(second).design.document) == (2, WIDER)
    with make.database.transaction(space.id) as db:
        db.get_one(Template, (space.id, template.id)).deleted_at = datetime.now(UTC)
    assert template_cache.state(template.id) is template_cache.state_named(space.id, "card") is None


def test_a_signed_address_sees_at_once_what_its_own_process_changes(make: Factory) -> None:
    template = make.template(make.workspace())
    template_cache = make.services.template_cache
    assert version(template_cache, template) == 1
    publish_wider(make.database, template)
    assert version(template_cache, template) == 2


def test_a_signed_address_does_not_ask_each_time(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    template = make.template(make.workspace())
    monkeypatch.setattr(module, "RECENT", 3600)
    template_cache = TemplateCache(make.database)
    assert version(template_cache, template) == 1
    publish_elsewhere(make, template)
    assert version(template_cache, template) == 1


def test_what_another_process_changes_is_seen_soon(make: Factory) -> None:
    template = make.template(make.workspace())
    template_cache = make.services.template_cache
    assert version(template_cache, template) == 1
    publish_elsewhere(make, template)
    wait_for(lambda: version(template_cache, template) == 2)


def version(template_cache: TemplateCache, template: Template) -> int:
    """Which version a signed address would show."""
    state = template_cache.recent_state(template.id)
    assert state is not None
    return state.version


def publish_wider(database: Database, template: Template) -> None:
    """Another version, 500 px wide."""
    with database.transaction(template.workspace_id) as db:
        publish(db, db.get_one(Template, (template.workspace_id, template.id)), WIDER)


def publish_elsewhere(make: Factory, template: Template) -> None:
    """The same, as another process does it."""
    elsewhere = Database(make.database.engine.url.render_as_string(hide_password=False))
    publish_wider(elsewhere, template)
    elsewhere.dispose()
