"""`/v1/campaigns/{id}/channels`."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from webtest import TestApp

from cwz_web.campaigns.models import Campaign
from cwz_web.generation.api_keys import Scope
from cwz_web.storage.connections import get_default_connection
from tests.factories import Factory

ROWS = b"sku,title,price\n1,Red,10\n2,Blue,20\n"


class Client:
    """A client with a key for a campaign."""

    def __init__(self, app: TestApp, make: Factory, *scopes: Scope) -> None:
        self.app, self.make, self.space = app, make, make.workspace()
        self.campaign: Campaign = make.campaign(make.feed(self.space, ROWS), make.template(self.space))
        key = make.key(self.space, *(scopes or (Scope.READ, Scope.CAMPAIGNS_WRITE)))
        self.headers = {"Authorization": f"Bearer {key}"}
        self.path = f"/v1/campaigns/{self.campaign.id}/channels"

    def send(self, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
        call = getattr(self.app, f"{method}_json") if body is not None else getattr(self.app, method)
        arguments = {"params": body} if body is not None else {}
        return call(self.path + path, headers=self.headers, status=status, **arguments)


@pytest.fixture
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


def test_channel_is_added_changed_and_deleted(client: Client, make: Factory) -> None:
    assert client.send("get").json == {"channels": []}
    added = client.send("post", body={"name": "Shop", "preset": "generic"}, status=201)
    assert added.location.endswith(f"{client.path}/{added.json['id']}")
    assert [field["name"] for field in added.json["fields"]] == ["sku", "title", "price", "image_url"]
    assert (added.json["format"], added.json["rows"], added.json["report"]) == ("csv", None, None)
    assert f"/i/channels/{client.space.id}/{added.json['id']}.csv?" in added.json["url"]
    with make.database.transaction(client.space.id) as db:
        connection = str(get_default_connection(db, client.space.id).id)
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'")) == 1
    path = f"/{added.json['id']}"
    change = {"gzip": True, "format": "jsonl", "connection": connection, "on_missing": "photo"}
    changed = client.send("patch", path, change).json
    assert {name: changed[name] for name in change} == change
    assert changed["name"] == "Shop"
    assert changed["fields"] == added.json["fields"]
    assert ".jsonl.gz?" in changed["url"]
    assert client.send("get", path).json == changed
    assert client.send("patch", path, {"name": "Shop"}).json == changed
    [listed] = client.send("get").json["channels"]
    assert listed == {name: value for name, value in changed.items() if name not in ("fields", "report")}
    client.send("delete", path, status=204)
    client.send("get", path, status=404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fields": [{"name": "x", "source": "column", "value": "none"}]}, "fields.0"),
        ({"fields": [{"name": "x", "source": "key"}, {"name": "x", "source": "key"}]}, "fields.1"),
        ({"fields": [{"name": "x", "source": "expression", "value": "1 +"}]}, "fields.0"),
        ({"fields": [{"name": "x", "source": "image", "value": "1"}]}, "fields.0"),
        ({"fields": []}, "fields"),
        ({"fields": [{"name": "x", "source": "key"}] * 201}, "fields"),
        ({"connection": str(uuid4())}, "connection"),
        ({"name": "a\nb"}, "name"),
        ({"preset": "none"}, "preset"),
    ],
)
def test_invalid_channels_are_refused(client: Client, body: dict[str, Any], field: str) -> None:
    answer = client.send("post", body={"name": "Shop", "preset": "generic", **body}, status=422)
    assert list(answer.json["errors"]) == [field]


def test_change_to_an_unknown_connection_is_refused(client: Client, make: Factory) -> None:
    channel = make.channel(client.campaign)
    body = {"connection": str(uuid4()), "name": "Other"}
    assert list(client.send("patch", f"/{channel.id}", body, status=422).json["errors"]) == ["connection"]
    assert make.reload(channel).name == "Shop"


def test_others_are_not_found(client: Client, app: TestApp, make: Factory) -> None:
    foreign = Client(app, make)
    theirs = foreign.send("post", body={"name": "Shop", "preset": "generic"}, status=201).json["id"]
    for unknown in (theirs, str(uuid4()), "x"):
        client.send("get", f"/{unknown}", status=404)
        client.send("patch", f"/{unknown}", {"name": "x"}, status=404)
        client.send("delete", f"/{unknown}", status=404)
    other = make.campaign(make.feed(client.space, ROWS), make.template(client.space))
    mine = make.channel(other)
    client.send("get", f"/{mine.id}", status=404)
    reader = Client(app, make, Scope.READ)
    reader.send("post", body={"name": "Shop", "preset": "generic"}, status=403)
