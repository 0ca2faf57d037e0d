"""Numbers, money and dates from a feed or a request to the image: the same digest is the same image."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.models import Image, Template
from cwz_web.imaging.encoders import Format
from cwz_web.runs.models import Run, RunItem
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory
from tests.functional.test_api_key_limits import Program
from tests.functional.test_image_requests import ASYNC, get, render

DATA = Path(__file__).parents[1] / "data" / "values"
GERMAN = b"sku;preis;ab;sterne\n1;1.234;03/04/2024;1.333\n2;12,50;03/14/2024;4,5\n3;7,00 EUR;05/06/2024;5\n"


def document() -> dict[str, Any]:
    texts = {
        "Price": '{{ preis | currency("", "de") }}',
        "Date": '{{ ab | date("long") }}',
    }
    box = {"x": 0, "width": 300, "height": 40}
    layers: list[dict[str, Any]] = [
        {"type": "text", "name": name, "text": text, "y": 40 * number, "size": 20, **box}
        for number, (name, text) in enumerate(texts.items())
    ]
    layers.append({"type": "rating", "name": "Stars", "value": "{{ sterne }}", "y": 80, **box})
    fields = [{"name": name, "label": name} for name in ("preis", "ab", "sterne")]
    return {"canvas": {"width": 300, "height": 120}, "fields": fields, "layers": layers}


@pytest.fixture
def program(wsgi: Router, make: Factory) -> Program:
    program = Program(wsgi, make)
    program.template = make.template(program.space, document(), name="Values")
    return program


def create(program: Program, data: dict[str, Any] | None = None, **body: Any) -> Any:
    request = {"template": program.template.slug, "data": data or {}} | body
    return program.send(request, Accept="application/json").json


def set_workspace(make: Factory, space: Workspace, **values: str) -> None:
    with make.database.transaction(space.id) as db:
        loaded = db.get_one(Workspace, space.id)
        for name, value in values.items():
            setattr(loaded, name, value)


def test_column_formats_reach_the_image(program: Program, make: Factory) -> None:
    feed = make.feed(program.space, GERMAN)
    wanted = create(program, {"preis": "1234.00 EUR", "ab": "2024-03-04", "sterne": 1.333})
    assert wanted["findings"] == []
    item = create(program, feed=str(feed.id), item="1")
    assert (item["digest"], item["findings"]) == (wanted["digest"], [])
    run = make.run(feed, program.template, {name: name for name in ("preis", "ab", "sterne")})
    render(make, program.space, str(run.id))
    with make.database.transaction(program.space.id) as db:
        assert wanted["digest"] in db.scalars(select(Image.digest)).all()
        finished = db.get_one(Run, (program.space.id, run.id))
        assert (finished.done, finished.failed) == (3, 0)
        assert finished.formats["preis"] == {"decimal": "comma", "currency": "EUR"}


def test_json_numbers_have_no_locale(program: Program, make: Factory) -> None:
    rows = b'[{"sku": "1", "preis": 1.234, "ab": 20240304, "sterne": 1.333}, {"sku": "2", "preis": "3,50"}]'
    feed = make.feed(program.space, rows)
    set_workspace(make, program.space, currency="KWD", locale="de")
    digests = {
        create(program, feed=str(feed.id), item="1")["digest"],
        create(program, {"preis": 1.234, "ab": 20240304, "sterne": 1.333})["digest"],
        create(program, {"preis": "1.234 KWD", "ab": "4 March 2024", "sterne": "1.333"}, locale="en")["digest"],
    }
    assert len(digests) == 1


def test_locale_of_the_request_or_the_workspace_decides(program: Program, make: Factory) -> None:
    unclear = create(program, {"preis": "1.234 EUR", "ab": "03/04/2024"}, locale="en-US")
    assert unclear["digest"] != create(program, {"preis": "1.234 EUR", "ab": "03/04/2024"}, locale="de")["digest"]
    set_workspace(make, program.space, locale="de")
    german = create(program, {"preis": "1.234 EUR", "ab": "03/04/2024"})
    assert german["digest"] == create(program, {"preis": "1234 EUR", "ab": "2024-04-03"})["digest"]
    answer = program.send({"template": program.template.slug, "locale": "xx-klingon"}, 422)
    assert "is not a locale" in answer.json["errors"]["locale"]


def test_a_price_has_the_currency_of_the_workspace(program: Program, make: Factory) -> None:
    [finding] = create(program, {"preis": "24"})["findings"]
    assert (finding["code"], finding["layer"]) == ("value_unclear", "Price")
    assert "shows the field “preis” as it is: “24” has no currency" in finding["message"]
    set_workspace(make, program.space, currency="EUR")
    priced = create(program, {"preis": "24"})
    assert priced["findings"] == []
    assert priced["digest"] == create(program, {"preis": "24 EUR"})["digest"]


def test_unclear_values_are_findings(program: Program) -> None:
    answer = create(program, {"preis": "10-20 EUR", "ab": "03/04/2024", "sterne": "85"})
    assert {(finding["layer"], finding["code"]) for finding in answer["findings"]} == {
        ("Price", "value_unclear"),
        ("Date", "value_unclear"),
        ("Stars", "value_unclear"),
    }


def test_another_format_renders_the_rows_again(program: Program, make: Factory) -> None:
    feed = make.feed(program.space, b"sku,preis\n1,12.50\n2,7.00\n")
    mapping = {"preis": "preis"}
    render(make, program.space, str(make.run(feed, program.template, mapping).id))
    assert make.run(feed, program.template, mapping).unchanged == 2
    set_workspace(make, program.space, currency="EUR")
    assert make.run(feed, program.template, mapping).unchanged == 0


@pytest.fixture
def prices(program: Program, make: Factory) -> Template:
    fields = [{"name": "price", "label": "Price"}, {"name": "old_price", "label": "Before"}]
    box = {"x": 0, "y": 0, "width": 300, "height": 40, "size": 20}
    layers = [{"type": "text", "name": "Text", "text": "{{ price }} / {{ old_price }}", **box}]
    document = {"canvas": {"width": 300, "height": 40}, "fields": fields, "layers": layers}
    program.template = make.template(program.space, document, name="Sale")
    return program.template


def test_sale_price_or_else_the_price(program: Program, prices: Template, make: Factory) -> None:
    feed = make.feed(
        program.space, b"id,price,sale_price\n1,20.00,15.00\n2,20.00,\n3,20.00,20.00\n4,20.00,0\n5,20.00,25.00\n"
    )
    run = make.run(feed, prices, {"price": "sale_price | price", "old_price": "price"})
    render(make, program.space, str(run.id))
    wanted = [{"price": "15.00", "old_price": "20.00"}, {"price": "20.00", "old_price": ""}]
    digests = {create(program, data)["digest"] for data in wanted}
    with make.database.transaction(program.space.id) as db:
        assert set(db.scalars(select(Image.digest))) == digests
        assert db.get_one(Run, (program.space.id, run.id)).findings == 0


@pytest.mark.parametrize(
    ("price", "old_price", "is_shown", "findings"),
    [
        ("15.00", "20.00", True, []),
        ("20.00", "20.00", False, []),
        ("25.00", "20.00", False, []),
        ("15.00 EUR", "20.00 USD", False, ["value_unclear"]),
        ("15.00", "ask us", False, ["value_unclear"]),
    ],
)
def test_old_price_is_shown_only_if_it_is_higher(
    program: Program, prices: Template, make: Factory, price: str, old_price: str, is_shown: bool, findings: list[str]
) -> None:
    """One rule for data, a feed item, data over a feed item, image requests, signed URLs and runs."""
    data = {"price": price, "old_price": old_price}
    feed = make.feed(program.space, f"id,price,compare_at_price\n1,{price},{old_price}\n2,{price},999\n".encode())
    run = make.run(feed, prices, {"price": "price", "old_price": "compare_at_price"})
    render(make, program.space, str(run.id))
    request = program.send({"template": prices.slug, "data": data}, 202, **ASYNC).json
    render(make, program.space, request["id"])
    with make.database.transaction(program.space.id) as db:
        [item] = db.scalars(select(RunItem).where(RunItem.run_id == run.id, RunItem.key == "1"))
        of_run = db.get_one(Image, (program.space.id, item.image_id)).digest
    answers = [
        create(program, data),
        create(program, feed=str(feed.id), item="1"),
        create(program, {"old_price": old_price}, feed=str(feed.id), item="2"),
    ]
    requested = get(program, request["status_url"]).json
    url = make.services.signed_urls.on_demand_image(program.space.id, prices.id, Format.JPEG, data)
    signed = TestApp(program.wsgi).get(url)
    digests = {*(answer["digest"] for answer in answers), requested["image"]["digest"], of_run, signed.etag}
    assert len(digests) == 1
    for answer in [*answers, requested, {"findings": item.findings or []}]:
        assert [finding["code"] for finding in answer["findings"]] == findings
    assert signed.headers.get("Findings", "").count("value_unclear") == len(findings)
    without = TestApp(program.wsgi).get(
        make.services.signed_urls.on_demand_image(program.space.id, prices.id, Format.JPEG, {"price": price})
    )
    assert (signed.body != without.body) is is_shown


def test_probe_is_read_right(program: Program, make: Factory) -> None:
    template = make.template(program.space, json.loads((DATA / "probe_template.json").read_text()), name="Probe")
    data = json.loads((DATA / "probe_data.json").read_text()) | {"img": ""}
    image = create(program, data, template=template.slug)
    assert {finding["layer"] for finding in image["findings"]} <= {"I"}
    same = data | {"price": "KWD 12.5", "rating": 1.333, "d": "4 March 2024"}
    assert create(program, same, template=template.slug)["digest"] == image["digest"]
    wrong = data | {"price": "12500 KWD"}
    assert create(program, wrong, template=template.slug)["digest"] != image["digest"]


def test_output_locale_never_decides_an_amount(program: Program, make: Factory) -> None:
    """The template formats prices for de, which says nothing about how they are written."""
    for data in ({"preis": "1,299 €"}, {"preis": "1.299", "ab": "2024-03-04"}):
        set_workspace(make, program.space, currency="EUR")
        codes = [finding["code"] for finding in create(program, data)["findings"]]
        assert "value_unclear" in codes
    english, german = create(program, {"preis": "1,299 €"}, locale="en"), create(program, {"preis": "1299 EUR"})
    assert english["digest"] == german["digest"]
    feed = make.feed(program.space, 'sku,preis\n1,"1,234 €"\n2,"1,459 €"\n3,"1,899 €"\n'.encode())
    assert any("3 values of “preis” cannot be read as a price" in note for note in feed.notes)
    assert "value_unclear" in [finding["code"] for finding in create(program, feed=str(feed.id), item="1")["findings"]]


def list_document() -> dict[str, Any]:
    texts = {"Tags": ("tags", "{{ index }} {{ item }}"), "Reviews": ("reviews", "{{ item.author }} {{ item.stars }}")}
    box = {"x": 0, "width": 300, "height": 100}
    text = {"type": "text", "size": 16, "width": 300, "height": 20}
    layers: list[dict[str, Any]] = [
        {"type": "stack", "name": name, "y": 100 * number, **box, "repeat": {"field": field, "limit": 4}}
        | {"layers": [{**text, "name": f"{name} entry", "text": content}]}
        for number, (name, (field, content)) in enumerate(texts.items())
    ]
    shown = "{{ title }} {{ flag }} {{ price | number }}"
    layers.append({**text, "name": "Title", "text": shown, "y": 200, "show_if": "flag && price > 1"})
    types = {"tags": "list", "reviews": "text", "title": "text", "flag": "boolean", "price": "money"}
    fields = [{"name": name, "label": name, "type": kind} for name, kind in types.items()]
    return {"canvas": {"width": 300, "height": 230}, "fields": fields, "layers": layers}


@pytest.fixture
def list_program(program: Program, make: Factory) -> Program:
    program.template = make.template(program.space, list_document(), name="Lists")
    return program


REVIEWS = [{"author": "Ada", "stars": 5}, {"author": "Jo", "stars": 4.5}]


def test_lists_are_the_same_as_json_as_text_and_later(list_program: Program, make: Factory) -> None:
    """Numbers and booleans are those of JSON, too."""
    data = {"tags": ["new", "Tom, Dick", 3], "reviews": REVIEWS, "title": "A", "flag": True, "price": 1.5}
    wanted = create(list_program, data)
    assert wanted["findings"] == []
    texts = {"tags": "new|Tom, Dick|3", "reviews": json.dumps(REVIEWS), "title": "A", "flag": "true", "price": "1.5"}
    assert create(list_program, texts)["digest"] == wanted["digest"]
    answer = list_program.send({"template": list_program.template.slug, "data": data}, 202, **ASYNC)
    render(make, list_program.space, answer.json["id"])
    assert get(list_program, answer.json["status_url"]).json["image"]["digest"] == wanted["digest"]


def test_fields_that_are_no_lists_reject_lists(list_program: Program) -> None:
    data = {"title": ["A"], "tags": ["new"], "price": [1]}
    answer = list_program.send({"template": list_program.template.slug, "data": data}, 422, Accept="application/json")
    assert answer.json["errors"].keys() == {"data.title", "data.price"}
    assert answer.json["errors"]["data.title"].startswith("The field has the type text, which is no list.")


@pytest.mark.parametrize(
    "file",
    [
        b'[{"sku": "1", "tags": ["new", "Tom, Dick", "3"]}]',
        b"sku,tags\n1,new | Tom; Dick| 3\n",
        b"<rows><row><sku>1</sku><tags>new</tags><tags>Tom, Dick</tags><tags>3</tags></row></rows>",
    ],
    ids=["json", "csv", "xml"],
)
def test_lists_of_feeds_reach_the_image(list_program: Program, make: Factory, file: bytes) -> None:
    feed = make.feed(list_program.space, file)
    text = "Tom; Dick" if file.startswith(b"sku") else "Tom, Dick"
    wanted = create(list_program, {"tags": ["new", text, "3"]})
    item = create(list_program, feed=str(feed.id), item="1")
    assert (item["digest"], item["findings"]) == (wanted["digest"], [])


def test_commas_of_a_feed_separate_the_items_of_a_list(list_program: Program, make: Factory) -> None:
    feed = make.feed(list_program.space, b"sku;tags\n1;new, sale,eco\n")
    wanted = create(list_program, {"tags": ["new", "sale", "eco"]})
    assert create(list_program, feed=str(feed.id), item="1")["digest"] == wanted["digest"]
