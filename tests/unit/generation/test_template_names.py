"""Names of new templates do not repeat."""

import pytest

from cwz_web.generation.templates import unused_name
from tests.factories import Factory


@pytest.mark.parametrize(
    ("existing", "name", "unused"),
    [
        ([], "Product ad", "Product ad"),
        (["Product ad"], "Product ad", "Product ad 2"),
        (["product AD"], "Product ad", "Product ad 2"),
        (["Product ad", "Product ad 2"], "Product ad", "Product ad 3"),
        (["Product ad", "Product ad 2"], "Product ad 2", "Product ad 3"),
        (["Product ad", "Product ad 3"], "Product ad", "Product ad 2"),
        (["Product adventure"], "Product ad", "Product ad"),
        (["100%"], "100 %", "100 %"),
        (["x" * 100], "x" * 100, "x" * 98 + " 2"),
        (["x" * 100, "x" * 98 + " 2"], "x" * 100, "x" * 98 + " 3"),
        (["7"], "7", "7 2"),
    ],
)
def test_unused_name(make: Factory, existing: list[str], name: str, unused: str) -> None:
    space = make.workspace()
    for other in existing:
        make.template(space, name=other)
    with make.database.transaction(space.id) as db:
        assert unused_name(db, space.id, name) == unused


def test_name_of_deleted_template_is_free(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space, name="Sale")
    with make.database.transaction(space.id) as db:
        db.merge(template).deleted_at = template.created_at
        db.flush()
        assert unused_name(db, space.id, "Sale") == "Sale"
