"""`/v1/brand`: read and replace the brand; drafts of templates follow."""

from typing import Any

import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.imaging.brand import LIMITS
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory, small_document

PATH = "/v1/brand"
STYLE = {"font": "brand:body", "weight": 700, "size": 40, "color": "brand:primary", "line_height": 1.2}
BRAND = {"colors": {"primary": "#ff5500"}, "fonts": {"body": "Inter"}, "logos": {}, "styles": {"title": STYLE}}


class Client:
    """A client with an API key that can read and change the brand."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.headers = {"Authorization": f"Bearer {make.key(self.space, Scope.READ, Scope.BRAND_WRITE)}"}

    def get(self) -> Any:
        return self.app.get(PATH, headers=self.headers).json

    def put(self, brand: Any, status: int = 200, **more: Any) -> Any:
        return self.app.put_json(PATH, {"brand": brand, **more}, headers=self.headers, status=status).json

    def template(self, color: str = "#ff5500") -> Template:
        document = small_document(brand={"colors": {"primary": color}})
        document["layers"][1] |= {"color": "brand:primary"}
        return self.make.template(self.space, document)

    def colors(self, template: Template) -> tuple[str, str]:
        """Return the color in the published version and in the draft."""
        with self.make.database.transaction(self.space.id) as db:
            current = db.get_one(Template, (self.space.id, template.id))
            both = load_design(db, current).document, load_draft(db, current).document
        return both[0].brand.colors["primary"], both[1].brand.colors["primary"]

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(AuditEntry.action).order_by(AuditEntry.number)))


@pytest.fixture
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


def test_brand_is_replaced_and_read(client: Client) -> None:
    assert client.get()["revision"] == 0
    saved = client.put(BRAND)
    assert saved == {"brand": BRAND, "revision": 1, "outdated": 0, "templates": []}
    assert client.get() == {"brand": BRAND, "revision": 1, "outdated": 0}
    assert client.put({"colors": {"ink": "#111111"}})["brand"]["fonts"] == {}
    assert client.log == ["brand.change", "brand.change"]


def test_drafts_follow_and_what_is_published_does_not(client: Client) -> None:
    client.put(BRAND)
    template = client.template()
    changed = client.put({"colors": {"primary": "#00aa55"}})
    assert changed["templates"] == [{"template": str(template.id), "slug": template.slug, "problem": ""}]
    assert changed["outdated"] == 0
    assert client.colors(template) == ("#ff5500", "#00aa55")
    assert client.log[-2:] == ["brand.change", "template.draft"]


def test_drafts_can_wait_for_the_next_request(client: Client) -> None:
    template = client.template()
    kept = client.put(BRAND | {"colors": {"primary": "#00aa55"}}, update_drafts=False)
    assert (kept["outdated"], kept["templates"], client.colors(template)[1]) == (1, [], "#ff5500")
    again = client.put(kept["brand"])
    assert (again["revision"], again["outdated"], client.colors(template)[1]) == (1, 0, "#00aa55")
    assert client.log == ["brand.change", "template.draft"]


def test_change_of_an_earlier_revision_is_refused(client: Client) -> None:
    client.put(BRAND, revision=0)
    assert client.put({}, status=409, revision=0)["code"] == "conflict"
    assert client.put(BRAND, revision=0)["revision"] == 1, "a request that is sent again changes nothing"
    assert client.get()["brand"] == BRAND


@pytest.mark.parametrize(
    ("brand", "field", "message"),
    [
        ({"colors": {"primary": "red"}}, "brand.colors.primary", "must match"),
        ({"colors": {"Primary": "#ff5500"}}, "brand.colors", "(in a key)"),
        ({"colors": {f"c{n}": "#ff5500" for n in range(LIMITS["colors"] + 1)}}, "brand", "at most 50 colors"),
        ({"fonts": {"body": "No Such Font"}}, "brand.fonts.body", "No Such Font"),
        ({"logos": {"logo": f"upload:{'0' * 64}"}}, "brand", "not an uploaded image of this workspace"),
        ({"styles": {"title": STYLE}}, "brand", "“brand:primary”, which the brand does not have"),
        ({"icons": {}}, "brand.icons", "no field with this name"),
    ],
)
def test_invalid_brand_names_the_entry(client: Client, brand: Any, field: str, message: str) -> None:
    problem = client.put(brand, status=422)
    assert problem["code"] == "invalid"
    assert message in problem["errors"][field]
    assert client.get()["revision"] == 0


def test_key_of_one_template_cannot_change_the_brand(client: Client) -> None:
    template = client.template()
    limited = client.make.key(client.space, Scope.BRAND_WRITE, templates=[str(template.id)])
    headers = {"Authorization": f"Bearer {limited}"}
    problem = client.app.put_json(PATH, {"brand": {}}, headers=headers, status=403).json
    assert problem["code"] == "template_not_allowed"
