import re
from datetime import UTC, datetime

import pytest

from cwz_web.generation.api_keys import ApiKeys, KeyOwner, create_key, list_keys, revoke_key
from cwz_web.generation.models import Template
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document


def test_a_key_opens_its_workspace_and_is_kept_only_as_a_digest(make: Factory) -> None:
    space = make.workspace()
    plain = make.key(space)
    assert re.fullmatch(r"cwz_live_[A-Za-z0-9_-]{43}", plain)
    owner = make.services.keys.owner(plain)
    assert owner is not None
    assert owner.workspace_id == space.id
    with make.database.transaction(space.id) as db:
        [key] = list_keys(db, space.id)
        assert plain not in (key.digest, key.prefix)


def test_a_revoked_key_is_useless_at_once(make: Factory) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        key, plain = create_key(db, space.id, "short-lived")
        revoke_key(db, key)
    assert make.services.keys.owner(plain) is None


@pytest.mark.parametrize(
    "plain", ["", "cwz_live_", "cwz_live_" + "a" * 43, "cwz_live_" + "a" * 43 + "\n", "' OR 1=1 --"]
)
def test_what_is_no_key_opens_nothing(make: Factory, plain: str) -> None:
    make.key(make.workspace())
    assert make.services.keys.owner(plain) is None


def test_what_a_key_asks_for_again_comes_with_it_as_it_is_now(make: Factory) -> None:
    space = make.workspace()
    plain, template = make.key(space), make.template(space, name="Card")
    keys, template_cache = make.services.keys, make.services.template_cache
    assert (owner_of(keys, plain).asked_for, owner_of(keys, plain).state) == ("", None)
    for name in ("card", str(template.id)):
        keys.asks_for(owner_of(keys, plain), name)
        owner = owner_of(keys, plain)
        assert (owner.asked_for, owner.state) == (name, template_cache.state(template.id))
    with make.database.transaction(space.id) as db:
        wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
        publish(db, db.get_one(Template, (space.id, template.id)), wider)
    assert owner_of(keys, plain).state == template_cache.state(template.id)
    with make.database.transaction(space.id) as db:
        db.get_one(Template, (space.id, template.id)).deleted_at = datetime.now(UTC)
    assert owner_of(keys, plain).state is None
    with make.database.transaction(space.id) as db:
        [key] = list_keys(db, space.id)
        revoke_key(db, key)
    assert keys.owner(plain) is None


def test_a_key_never_brings_the_template_of_another_workspace(make: Factory) -> None:
    mine, other = make.workspace(), make.workspace()
    plain, template = make.key(mine), make.template(other, name="Card")
    for name in ("card", str(template.id)):
        make.services.keys.asks_for(owner_of(make.services.keys, plain), name)
        assert owner_of(make.services.keys, plain).state is None


def owner_of(keys: ApiKeys, plain: str) -> KeyOwner:
    """Whose key it is, if it is one."""
    owner = keys.owner(plain)
    assert owner is not None
    return owner
