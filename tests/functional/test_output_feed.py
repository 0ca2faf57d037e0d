"""The output feed: a feed's rows with the URLs of their newest images, at a signed URL."""

import csv
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramid.router import Router
from sqlalchemy import update
from webtest import TestApp

from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Template
from cwz_web.imaging.encoders import Format, Output
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.output_feed import image_columns
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.scheduling import CHUNK
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in

ROWS = (
    b'sku,title,image_link\n1,"=One, or -20%",https://shop.example/1.jpg\n2,Two,\n3,Three,https://shop.example/3.jpg\n'
)


class Shop:
    """A workspace with a feed, a template and a way to render."""

    def __init__(self, make: Factory, wsgi: Router) -> None:
        self.make, self.app = make, TestApp(wsgi)
        self.space: Workspace = make.workspace()
        self.feed: Feed = make.feed(self.space, ROWS)
        self.template: Template = make.template(self.space)

    def run(self, *outputs: Output, render: bool = True) -> Run:
        run: Run = self.make.run(self.feed, self.template, {"title": "title"}, *outputs)
        services = self.make.services
        web = LocalRenderClient(self.make.database.transaction, services.providers, services.signed_urls)
        for chunk in range(-(-run.total // CHUNK)) if render else ():
            ask = SpecificationRequest(workspace_id=self.space.id, run_id=run.id, chunk=chunk)
            RenderWorker(web, services.image_service, services.providers.outbound).render_chunk(ask, last_try=True)
        return run

    def address(self, column: str = "", feed: UUID | None = None, template: UUID | None = None) -> str:
        with self.make.database.transaction(self.space.id) as db:
            space = db.get_one(Workspace, self.space.id)
        whole = self.make.services.signed_urls.output_feed(
            space, feed or self.feed.id, template or self.template.id, column
        )
        parts = urlsplit(whole)
        return f"{parts.path}?{parts.query}"

    def rows(self, column: str = "") -> list[dict[str, Any]]:
        return list(csv.DictReader(StringIO(self.app.get(self.address(column)).text)))

    def is_image(self, url: str) -> bool:
        parts = urlsplit(url)
        return bool(self.app.get(f"{parts.path}?{parts.query}").body.startswith(b"\xff\xd8"))


@pytest.fixture
def shop(make: Factory, wsgi: Router) -> Shop:
    return Shop(make, wsgi)


def test_every_row_has_the_url_of_its_image(shop: Shop) -> None:
    shop.run()
    answer = shop.app.get(shop.address())
    assert answer.content_type == "text/csv"
    assert answer.headers["Cache-Control"] == "no-cache"
    rows = shop.rows()
    assert list(rows[0]) == ["sku", "title", "image_link", "image_url"]
    assert [row["title"] for row in rows] == ["=One, or -20%", "Two", "Three"], "cells are as the feed has them"
    assert len({row["image_url"] for row in rows}) == 3
    assert all(shop.is_image(row["image_url"]) for row in rows)


def test_row_without_an_image_keeps_its_value(shop: Shop) -> None:
    shop.run(render=False)
    assert [row["image_url"] for row in shop.rows()] == ["", "", ""]
    assert [row["image_link"] for row in shop.rows("image_link")] == [
        "https://shop.example/1.jpg",
        "",
        "https://shop.example/3.jpg",
    ]


def test_url_can_replace_a_column_of_the_feed(shop: Shop) -> None:
    shop.run()
    rows = shop.rows("image_link")
    assert list(rows[0]) == ["sku", "title", "image_link"]
    assert all(shop.is_image(row["image_link"]) for row in rows)


def test_newest_image_is_used_under_the_same_url(shop: Shop) -> None:
    shop.run()
    address, before = shop.address(), shop.rows()
    with shop.make.database.transaction(shop.space.id) as db:
        feed = db.get_one(Feed, (shop.space.id, shop.feed.id))
        import_file(db, feed, file_name="again.csv", file=BytesIO(ROWS.replace(b"Two", b"Deux")))
    assert [row["title"] for row in shop.rows()][1] == "Deux", "the row is new at once"
    assert shop.rows()[1]["image_url"] == before[1]["image_url"], "its image when it is rendered"
    shop.feed = shop.make.reload(shop.feed)
    shop.run()
    after = shop.rows()
    assert shop.address() == address
    assert [a["image_url"] == b["image_url"] for a, b in zip(after, before, strict=True)] == [True, False, True]


def test_each_output_has_a_column(shop: Shop, make: Factory) -> None:
    shop.run(Output(), Output(format=Format.PNG))
    rows = shop.rows()
    assert list(rows[0])[-2:] == ["image_url_jpg", "image_url_png"]
    assert ".png?" in rows[0]["image_url_png"]


def test_unchanged_output_feed_is_not_sent_again(shop: Shop) -> None:
    shop.run(render=False)
    tag = {"If-None-Match": shop.app.get(shop.address()).headers["ETag"]}
    assert shop.app.get(shop.address(), headers=tag, status=304).body == b""
    assert shop.app.get(shop.address("image_link"), headers=tag).status_int == 200
    shop.run()
    assert shop.app.get(shop.address(), headers=tag).status_int == 200
    head = shop.app.head(shop.address())
    assert int(head.headers["Content-Length"]) == len(shop.app.get(shop.address()).body)


def test_rate_limit_counts_written_feeds_only(shop: Shop) -> None:
    shop.run(render=False)
    tag = {"If-None-Match": shop.app.get(shop.address()).headers["ETag"]}
    for _ in range(29):
        shop.app.get(shop.address(), headers=tag, status=304)
        shop.app.get(shop.address(), status=200)
    assert int(shop.app.get(shop.address(), status=429).headers["Retry-After"]) > 0
    shop.app.get(shop.address(), headers=tag, status=304)


def test_invalid_signatures_are_rejected(shop: Shop, make: Factory) -> None:
    shop.run()
    address, other = shop.address(), make.workspace()
    swapped = address.replace(str(shop.space.id), str(other.id))
    for wrong in (
        address.replace("&s=", "&s=x"),
        address.partition("?")[0],
        address + "&column=title",
        address.replace("k=1", "k=2"),
        swapped,
    ):
        assert shop.app.get(wrong, status=403).json["code"] == "invalid_signature"
    assert shop.app.get(address.replace(".csv", ".xml"), status=404)
    assert shop.app.get(address.replace(str(shop.space.id), str(uuid4())), status=404)


def test_missing_run_deleted_feed_and_other_workspace_are_not_found(shop: Shop, make: Factory) -> None:
    shop.app.get(shop.address(), status=404)
    shop.run()
    shop.app.get(shop.address(template=uuid4()), status=404)
    shop.app.get(shop.address(feed=make.feed(make.workspace()).id), status=404)
    with make.database.transaction(shop.space.id) as db:
        db.execute(update(Feed).values(deleted_at="2026-01-01T00:00:00Z"))
    shop.app.get(shop.address(), status=404)


def test_revoked_signing_key_revokes_the_url(shop: Shop, make: Factory) -> None:
    shop.run()
    address = shop.address()
    with make.database.transaction(shop.space.id) as db:
        db.execute(update(Workspace).values(signing_key_number=2, oldest_signing_key_number=2))
    shop.app.get(address, status=403)
    assert shop.app.get(shop.address()).status_int == 200


def test_run_page_and_api_show_the_url(shop: Shop, make: Factory, wsgi: Router) -> None:
    run = shop.run()
    browser = TestApp(wsgi)
    sign_in(browser, make.member(shop.space, Role.USER))
    page = browser.get(f"/w/{shop.space.slug}/runs/{run.id}?tab=output-feed&column=image_link")
    shown = page.html.find("pre", {"aria-label": "URL of the output feed"}).text
    assert shown.endswith(shop.address("image_link"))
    assert page.html.find("option", {"selected": True}).text == "image_link"
    bearer = {"Authorization": f"Bearer {make.key(shop.space, Scope.READ)}"}
    told = browser.get(f"/v1/runs/{run.id}", headers=bearer).json["output_feed"]
    with make.database.transaction(shop.space.id) as db:
        db.execute(update(Feed).values(deleted_at="2026-01-01T00:00:00Z"))
    assert "URL of the output feed" not in browser.get(f"/w/{shop.space.slug}/runs/{run.id}?tab=output-feed")
    assert told == make.services.settings.url + shop.address()


@given(
    st.lists(st.sampled_from(["sku", "image_url", "image_url_jpg", "image_url_2"]), max_size=4, unique=True),
    st.lists(
        st.tuples(st.sampled_from(["default", "story", "wide"]), st.sampled_from(list(Format)), st.integers(1, 3)),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    st.sampled_from(["", "sku", "image_url", "image"]),
)
def test_image_columns_are_unique(columns: list[str], rendered: list[Any], column: str) -> None:
    outputs = [Output(size=size, format=format, scale=scale) for size, format, scale in rendered]
    names = image_columns(columns, outputs, column)
    assert len(set(names)) == len(names) == len(outputs)
    assert not set(names) - {column} & set(columns)
    if column:
        assert names[0] == column
