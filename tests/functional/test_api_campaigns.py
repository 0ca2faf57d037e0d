"""The API of campaigns: from the rules to what is public, with real rendering."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.campaigns.models import Campaign
from cwz_web.generation.api_keys import Scope
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory
from tests.installation import ROOT
from tests.unit.campaigns.test_publications import ROWS, Setting


class Client:
    """A client with a key for campaigns, in the workspace of a campaign that is prepared but not public."""

    def __init__(self, make: Factory, wsgi: Router, **settings: Any) -> None:
        self.make, self.setting = make, Setting(make, **settings)
        self.app = TestApp(wsgi)
        self.headers = self.bearer(Scope.READ, Scope.CAMPAIGNS_WRITE)
        self.campaign = f"/v1/campaigns/{self.setting.campaign.id}"

    def bearer(self, *scopes: Scope, **terms: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.make.key(self.setting.space, *scopes, **terms)}"}

    def get(self, path: str = "", status: int = 200) -> Any:
        return self.app.get(self.campaign + path, headers=self.headers, status=status).json

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        if body is None:
            return self.app.post(self.campaign + path, headers=self.headers, status=status).json
        return self.app.post_json(self.campaign + path, body, headers=self.headers, status=status).json

    def patch(self, body: Any, status: int = 200, **headers: str) -> Any:
        return self.app.patch_json(self.campaign, body, headers=self.headers | headers, status=status)

    def create(self, rules: list[Any], status: int = 201, **more: Any) -> Any:
        body = {"name": "Autumn", "feed": str(self.setting.feed.id), "rules": rules} | more
        return self.app.post_json("/v1/campaigns", body, headers=self.headers, status=status)

    def rules(self) -> list[Any]:
        return [
            {"name": "Acme", "condition": 'brand == "Acme"', "designs": [{"template": self.template(0)}]},
            {"name": "All others", "designs": [{"template": self.template(2)}]},
        ]

    def template(self, number: int) -> str:
        return str(self.setting.templates[number].id)

    def actions(self) -> list[str]:
        with self.make.database.transaction(self.setting.space.id) as db:
            actions = db.scalars(select(AuditEntry.action).order_by(AuditEntry.number))
            return [action for action in actions if not action.startswith("access.")]


@pytest.fixture
def client(make: Factory, wsgi: Router) -> Client:
    return Client(make, wsgi)


def test_campaign_is_created_planned_prepared_and_published(client: Client) -> None:
    created = client.create(client.rules())
    assert created.json["rules"][0]["number"] == 1
    assert [rule["designs"][0]["number"] for rule in created.json["rules"]] == [1, 2]
    assert created.json["rules"][0]["designs"][0]["mapping"] == {"title": "title", "image": ""}
    client.campaign = created.location.removeprefix("http://localhost")
    assert created.headers["ETag"] == client.app.get(client.campaign, headers=client.headers).headers["ETag"]
    plan = client.get("/plan")
    assert (plan["up_to_date"], plan["rows"], plan["to_render"], plan["error_message"]) == (True, 4, 4, None)
    [phase] = plan["phases"]
    counts = [{"rule": 1, "design": 1, "rows": 2}, {"rule": 2, "design": 2, "rows": 2}]
    assert phase == {"begin": None, "counts": counts}
    assert client.post("/prepare")["public"] is None
    with client.make.database.transaction(client.setting.space.id) as db:
        client.setting.campaign = db.get_one(
            Campaign, (client.setting.space.id, UUID(client.campaign.rpartition("/")[2]))
        )
    assert client.setting.settle() == 4
    assert client.get("/plan")["to_render"] == 0
    [publication] = client.get("/publications")["publications"]
    assert (publication["state"], publication["public"], publication["new"]) == ("held", False, 4)
    assert [reason["code"] for reason in publication["reasons"]] == ["manual"]
    assert publication["designs"] == [{"design": 1, "rows": 2}, {"design": 2, "rows": 2}]
    published = client.post("/publications/1/publish")
    assert (published["state"], published["public"]) == ("published", True)
    assert client.get()["public"] == 1
    feed = client.app.get(client.get()["output_feed"].removeprefix("http://localhost"))
    assert len(feed.text.splitlines()) == 5
    assert client.post("/publications/1/publish", status=409)["code"] == "not_publishable"
    assert client.actions()[-3:] == ["campaign.create", "campaign.prepare", "publication.publish"]
    assert [each["name"] for each in client.app.get("/v1/campaigns", headers=client.headers).json["campaigns"]] == [
        "Autumn",
        "Ads",
    ]


def test_plan_shows_the_phases_of_windows(make: Factory, wsgi: Router) -> None:
    client = Client(make, wsgi)
    begin = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    rules = client.rules()
    rules[0]["window"] = {"begin": begin.isoformat(), "end": (begin + timedelta(days=1)).isoformat()}
    client.campaign = client.create(rules, time_zone="Europe/Zurich").location.removeprefix("http://localhost")
    plan = client.get("/plan")
    assert [[count["rows"] for count in phase["counts"]] for phase in plan["phases"]] == [[4], [2, 2], [4]]
    assert datetime.fromisoformat(plan["phases"][1]["begin"]) == begin
    assert plan["to_render"] == 4, "the window begins later than its images are rendered"


def test_rules_are_changed_unless_another_client_has_changed_them(client: Client) -> None:
    answer = client.app.get(client.campaign, headers=client.headers)
    tag, rules = answer.headers["ETag"], answer.json["rules"]
    rules[1]["condition"] = "price > 15"
    rules.insert(0, {"name": "Photo", "condition": 'brand == "Other"', "designs": [{}]})
    changed = client.patch({"rules": rules, "name": "Ads 2"}, **{"If-Match": tag})
    assert [rule["number"] for rule in changed.json["rules"]] == [4, 1, 2, 3]
    assert (changed.json["name"], changed.json["revision"]) == ("Ads 2", 2)
    assert client.patch({"name": "Ads 3"}, 412, **{"If-Match": tag}).json["code"] == "precondition_failed"
    client.patch({"name": "Ads 3"}, **{"If-Match": changed.headers["ETag"]})
    assert client.patch({"name": "Ads 3"}).json["revision"] == 2
    assert client.actions() == ["campaign.change", "campaign.change"]
    counts = client.get("/plan")["phases"][0]["counts"]
    assert [(count["rule"], count["rows"]) for count in counts] == [(4, 1), (1, 2), (2, 1), (3, 0)]


# Each change of a campaign, and the field of its error.
INVALID_CHANGES: list[tuple[dict[str, Any], str]] = [
        ({"rules": [{"name": "A", "condition": "colour == 1", "designs": [{}]}, {"name": "B", "designs": [{}]}]},
         "rules.0.condition"),
        ({"rules": [{"name": "A", "condition": "price <", "designs": [{}]}, {"name": "B", "designs": [{}]}]},
         "rules.0.condition"),
        ({"rules": [{"name": "A", "condition": "price < 1", "designs": [{}]}]}, "rules"),
        ({"rules": [{"name": "A", "designs": [{"template": "none"}]}]}, "rules.0.designs.0.template"),
        ({"rules": [{"name": "A", "designs": [{"template": "plain", "mapping": {"x": ""}}]}]},
         "rules.0.designs.0.mapping.x"),
        ({"rules": [{"name": "A", "designs": [{"template": "plain", "mapping": {"title": "x"}}]}]},
         "rules.0.designs.0.mapping.title"),
        ({"rules": [{"name": "A", "designs": [{}], "number": 99}]}, "rules.0.number"),
        ({"rules": [{"name": "A", "designs": [{"number": 99}]}]}, "rules.0.designs.0.number"),
        ({"rules": [{"name": "", "designs": [{}]}]}, "rules.0.name"),
        ({"rules": [{"name": "A", "designs": [{}], "window": {}}]}, "rules.0.window"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"photo_column": "x"}, "photo_column"),
        ({"selection": {"text": "a", "column": "x"}}, "selection.column"),
        ({"joins": [{"feed": "0190b0a0-0000-7000-8000-000000000001", "name": "stock"}]}, "joins.0.feed"),
        ({"policy": {"approvals": 3}}, "policy.approvals"),
]  # fmt: skip


def test_errors_name_the_rule_and_the_field(client: Client) -> None:
    for change, field in INVALID_CHANGES:
        problem = client.patch(change, 422).json
        assert (problem["code"], list(problem["errors"])) == ("invalid", [field]), change
        assert client.get()["revision"] == 1, change


def test_decision_is_made_before_publishing(make: Factory, wsgi: Router) -> None:
    client = Client(make, wsgi, is_settled=True, is_active=True)
    client.post("/publications/1/publish")
    client.setting.import_rows(ROWS.replace(b"Red", b"Rose").replace(b"Green", b"Lime"))
    assert client.setting.settle() == 2
    changes = client.get("/publications/2/changes")
    assert [(each["key"], each["kind"], each["state"]) for each in changes["changes"]] == [
        ("1", "changed", "ok"),
        ("3", "changed", "ok"),
    ]
    url = changes["changes"][0]["images"][0]["url"].removeprefix("http://localhost")
    assert client.app.get(url).body.startswith(b"\xff\xd8")
    assert changes["changes"][0]["public_images"][0]["id"] != changes["changes"][0]["images"][0]["id"]
    page = client.get("/publications/2/changes?limit=1")
    assert [each["key"] for each in client.get(f"/publications/2/changes?after={page['next']}")["changes"]] == ["3"]
    body = {"verdict": "former", "column": "title", "value": "rose", "comment": "Wrong name"}
    decided = client.post("/publications/2/decisions", body)
    assert (decided["rows"], decided["publication"]["changed"], decided["publication"]["kept"]) == (1, 1, 1)
    for query, keys in (
        ("state=former", ["1"]),
        ("state=ok", ["3"]),
        ("kind=new", []),
        ("kind=changed", ["1", "3"]),
        ("design=1", ["1", "3"]),
        ("design=2", []),
    ):
        assert [each["key"] for each in client.get(f"/publications/2/changes?{query}")["changes"]] == keys
    for query in ("state=odd", "kind=odd", "design=odd", "limit=0", "after=odd"):
        assert client.get(f"/publications/2/changes?{query}", status=422)["code"] == "invalid"
    assert client.post("/publications/2/decisions", {"verdict": "former", "column": "x", "value": "y"}, 422)["errors"]
    client.post("/publications/2/publish")
    assert client.get()["public"] == 2
    assert client.post("/publications/2/decisions", {"verdict": "reset"}, 409)["code"] == "not_publishable"
    rolled_back = client.post("/publications/1/rollback")
    assert (rolled_back["state"], rolled_back["public"]) == ("published", True)
    assert (client.get()["public"], client.get()["active"]) == (1, False)
    actions = ["publication.publish", "publication.decide", "publication.publish", "publication.roll_back"]
    assert client.actions() == actions


def test_decision_about_many_rows_is_polled(make: Factory, wsgi: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.campaigns.decisions.MAX_DECIDED", 3)
    client = Client(make, wsgi, is_settled=True)
    decided = client.post("/publications/1/decisions", {"verdict": "original"}, 202)
    assert decided["rows"] is None
    assert decided["publication"]["state"] == "deciding"
    assert decided["publication"]["decision"] == {
        "verdict": "original",
        "at": decided["publication"]["decision"]["at"],
        "done": 0,
        "total": 0,
        "rows": None,
    }
    assert client.post("/publications/1/publish", status=409)["code"] == "not_publishable"
    assert "is being applied" in client.post("/publications/1/decisions", {"verdict": "reset"}, 409)["detail"]
    client.setting.settle()
    publication = client.get("/publications/1")
    assert (publication["state"], publication["decision"]["rows"]) == ("held", 4)
    assert client.actions()[-2:] == ["publication.request_decision", "publication.decide"]


def test_publication_is_discarded(make: Factory, wsgi: Router) -> None:
    client = Client(make, wsgi, is_settled=True)
    assert client.post("/publications/1/discard")["state"] == "discarded"
    assert client.post("/publications/1/discard", status=409)["code"] == "not_publishable"
    assert client.post("/publications/1/rollback", status=409)["code"] == "not_publishable"
    client.get("/publications/2", status=404)
    client.get("/publications/x", status=404)


def test_api_key_cannot_approve_for_two_members(make: Factory, wsgi: Router) -> None:
    client = Client(make, wsgi, is_settled=True, policy={"approvals": 2})
    assert client.post("/publications/1/publish", status=403)["code"] == "approval_required"
    assert client.patch({"policy": {"auto_publish": True}}, 403).json["code"] == "approval_required"
    client.patch({"policy": client.get()["policy"], "name": "Same policy"})
    assert client.get("/publications/1")["state"] == "held"


def test_publication_of_a_window_waits_for_its_time(make: Factory, wsgi: Router) -> None:
    begin = datetime.now(UTC) + timedelta(hours=1)
    client = Client(make, wsgi, is_active=True)
    rules = client.get()["rules"]
    rules[0]["window"] = {"begin": begin.isoformat()}
    client.patch({"rules": rules})
    client.setting.settle()
    later, now = client.get("/publications")["publications"]
    assert (now["publish_at"], datetime.fromisoformat(later["publish_at"])) == (None, begin)
    client.post(f"/publications/{now['number']}/publish")
    assert client.post(f"/publications/{later['number']}/publish")["state"] == "scheduled"
    assert client.get()["public"] == now["number"]


def test_campaign_is_paused_resumed_and_deleted(client: Client) -> None:
    assert client.post("/pause")["active"] is False
    assert client.post("/resume")["active"] is True
    assert client.post("/resume")["active"] is True
    assert client.post("/pause")["active"] is False
    client.app.delete(client.campaign, headers=client.headers, status=204)
    client.get(status=404)
    assert client.app.get("/v1/campaigns", headers=client.headers).json["campaigns"] == []
    assert client.actions() == ["campaign.resume", "campaign.pause", "campaign.delete"]


def test_key_of_other_templates_or_workspaces_cannot_use_it(client: Client, make: Factory) -> None:
    client.headers = client.bearer(Scope.ADMIN, templates=(client.template(0),))
    client.get(status=404)
    client.patch({"name": "x"}, 404)
    assert client.create(client.rules(), 403).json["code"] == "template_not_allowed"
    only = client.create([{"name": "All", "designs": [{"template": client.template(0)}]}])
    client.app.get(only.location, headers=client.headers, status=200)
    client.headers = {"Authorization": f"Bearer {make.key(make.workspace(), Scope.ADMIN)}"}
    client.get(status=404)
    client.post("/publications/1/publish", status=404)
    assert client.create(client.rules(), 422).json["code"] == "unknown_feed"


def test_joined_feed_and_selection_limit_the_rows(client: Client, make: Factory) -> None:
    stock = make.feed(client.setting.space, b"sku,quantity\n1,0\n2,5\n3,7\n4,1\n")
    rules = client.rules()
    rules[0]["condition"] = "stock_quantity == 0"
    join = {"feed": str(stock.id), "name": "stock"}
    settings = {"joins": [join], "selection": {"keys": ["1", "2"]}, "outputs": [{"format": "png"}]}
    created = client.create(rules, **settings)
    client.campaign = created.location.removeprefix("http://localhost")
    assert (created.json["joins"][0]["column"], created.json["selection"]["keys"]) == ("", ["1", "2"])
    counts = client.get("/plan")["phases"][0]["counts"]
    assert [count["rows"] for count in counts] == [1, 1]


def test_examples_of_the_documentation_work(client: Client) -> None:
    text = (ROOT / "docs" / "campaigns.md").read_text()
    examples = re.findall(r"```http\n([A-Z]+) (\S+)\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 9
    created = ""
    for method, path, body in examples:
        if path.endswith("/publications"):
            client.setting.settle()
        values = json.loads(body) if body.strip() else None
        if path == "/v1/campaigns":
            values["feed"] = str(client.setting.feed.id)
        extra = {"body": json.dumps(values).encode(), "content_type": "application/json"} if values else {}
        url = path.replace("{id}", created)
        answer = client.app.request(url, method=method, headers=client.headers, status="2*", **extra)
        if path == "/v1/campaigns":
            created = answer.json["id"]
            with client.make.database.transaction(client.setting.space.id) as db:
                client.setting.campaign = db.get_one(Campaign, (client.setting.space.id, UUID(created)))
        if path.endswith("/decisions"):
            assert answer.json["rows"] == 1
    assert answer.json["public"] is True
