"""API keys."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from cwz_web.generation.api_keys import KeyTerms, Scope, create_key, list_keys, revoke_key, rotate_key
from tests.factories import Factory


def test_key_identifies_its_workspace_and_is_stored_only_as_a_digest(make: Factory) -> None:
    space = make.workspace()
    plain = make.key(space)
    assert re.fullmatch(r"cwz_live_[A-Za-z0-9_-]{43}", plain)
    owner = make.services.keys.find(plain)
    assert owner is not None
    assert owner.workspace_id == space.id
    with make.database.transaction(space.id) as db:
        [key] = list_keys(db, space.id)
        assert plain not in (key.digest, key.prefix)


def test_found_key_has_its_terms(make: Factory) -> None:
    space = make.workspace()
    terms = KeyTerms(
        scopes=(Scope.GENERATE, Scope.READ),
        templates=("0190b0a0-0000-7000-8000-000000000001",),
        origins=("https://shop.example",),
        requests_per_minute=60,
        images_per_month=1000,
    )
    with make.database.transaction(space.id) as db:
        _, plain = create_key(db, space.id, "Shop", terms)
    owner = make.services.keys.find(plain)
    assert owner is not None
    assert (owner.name, owner.scopes) == ("Shop", {"generate", "read"})
    assert (owner.templates, owner.origins) == (set(terms.templates), set(terms.origins))
    assert (owner.requests_per_minute, owner.images_per_month) == (60, 1000)


def test_revoked_key_is_rejected_at_once(make: Factory) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        key, plain = create_key(db, space.id, "Shop")
    assert make.services.keys.find(plain)
    with make.database.transaction(space.id) as db:
        revoke_key(db, key)
    assert make.services.keys.find(plain) is None


def test_rotated_key_remains_valid_during_the_overlap(make: Factory) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        key, plain = create_key(db, space.id, "Shop", KeyTerms(images_per_month=5))
        _, other = rotate_key(db, key, timedelta(minutes=1))
    owners = [make.services.keys.find(each) for each in (plain, other)]
    assert [owner and owner.images_per_month for owner in owners] == [5, 5]
    with make.database.transaction(space.id) as db:
        db.merge(key).expires_at = datetime.now(UTC)
    assert make.services.keys.find(plain) is None
    assert make.services.keys.find(other)


@pytest.mark.parametrize(
    "plain", ["", "cwz_live_", "cwz_live_" + "a" * 43, "cwz_live_" + "a" * 43 + "\n", "' OR 1=1 --"]
)
def test_unknown_or_malformed_key_is_rejected(make: Factory, plain: str) -> None:
    make.key(make.workspace())
    assert make.services.keys.find(plain) is None
