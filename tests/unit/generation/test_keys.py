import re

import pytest

from cwz_web.generation.keys import create_key, find_owner, list_keys, revoke_key
from tests.factories import Factory


def test_a_key_opens_its_workspace_and_is_kept_only_as_a_digest(make: Factory) -> None:
    space = make.workspace()
    plain = make.key(space)
    assert re.fullmatch(r"cwz_live_[A-Za-z0-9_-]{43}", plain)
    owner = find_owner(make.database, plain)
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
    assert find_owner(make.database, plain) is None


@pytest.mark.parametrize(
    "plain", ["", "cwz_live_", "cwz_live_" + "a" * 43, "cwz_live_" + "a" * 43 + "\n", "' OR 1=1 --"]
)
def test_what_is_no_key_opens_nothing(make: Factory, plain: str) -> None:
    make.key(make.workspace())
    assert find_owner(make.database, plain) is None
