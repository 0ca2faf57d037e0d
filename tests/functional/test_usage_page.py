"""The usage of a workspace without plans."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7
from webtest import TestApp

from cwz_web.generation.api_keys import KeyTerms, create_key
from cwz_web.generation.usage import Quota, count
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(found.text.split()) for found in page.html.select(selector)]


@pytest.mark.parametrize("role", list(Role))
def test_usage_is_shown_by_limit_and_by_source(app: TestApp, make: Factory, role: Role) -> None:
    space: Workspace = make.workspace()
    sign_in(app, make.member(space, role))
    make.feed(space)
    here = f"/w/{space.slug}/usage"
    assert "by source" not in app.get(here).text
    with make.database.transaction(space.id) as db:
        shop, _ = create_key(db, space.id, "Shop", KeyTerms())
        count(db, Quota(space.id, key_id=shop.id), 1200)
        for older_key in (uuid7(), uuid7()):
            count(db, Quota(space.id, key_id=older_key), 5)
        count(db, Quota(space.id), 24)
    page = app.get(here)
    assert texts(page, ".stack .ends")[:4] == [
        "Images this month 1,234 (unlimited)",
        "Members 1 (unlimited)",
        "Storage connections 1 (unlimited)",
        "Feeds 1 (unlimited)",
    ]
    assert texts(page, "#sources + .table-wrap tbody td") == ["1,200", "10", "24"]
    assert texts(page, "#sources + .table-wrap tbody th") == [
        f"Shop ({shop.prefix}…)",
        "Older keys",
        "Runs, previews and signed URLs",
    ]
    assert app.get(f"/w/{space.slug}").html.select_one(f'nav a[href="{here}"]')


def test_other_workspace_is_not_found(app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(make.workspace()))
    app.get(f"/w/{make.workspace().slug}/usage", status=404)
