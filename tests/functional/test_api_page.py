"""`/docs/api`: the API for people; its examples are tried, not only shown."""

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.api.documentation import Reader, call_of
from cwz_web.api.examples import KEY, LANGUAGES, Call
from cwz_web.api.openapi import OPERATIONS
from cwz_web.generation.api_keys import Scope
from tests.factories import Factory, sign_in
from tests.installation import node

CALLS = [call_of(operation, "https://site.example", Reader()) for operation in OPERATIONS]


def test_everybody_finds_every_operation_with_its_examples(app: TestApp) -> None:
    page = app.get("/docs/api")
    articles = page.html.select("main article .example")
    assert len(articles) == len(OPERATIONS) * len(LANGUAGES)
    for operation in OPERATIONS:
        assert f"/v1{operation.path}" in page.text
    assert "Sign in" in page.text
    for part in ("RunOutput", "RunItemInfo", "ColumnInfo", "ProblemInfo"):
        assert page.html.find(id=part), "what a list is of is told, too"
    for link in page.html.select("main a"):
        if link["href"].startswith("#"):
            assert page.html.find(id=link["href"][1:]), link["href"]


def test_the_examples_are_about_what_the_reader_has(app: TestApp, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    feed, template = make.feed(space), make.template(space, name="Autumn card")
    person = make.member(space)
    sign_in(app, person)
    page = app.get("/docs/api").text
    assert template.slug in page
    assert str(template.id) in page
    assert str(feed.id) in page
    foreign = make.template(other, name="Secret card")
    assert foreign.slug not in app.get(f"/docs/api?workspace={other.slug}").text


def test_a_workspace_that_wants_a_second_factor_shows_nothing_of_itself(app: TestApp, make: Factory) -> None:
    space = make.workspace(second_factor_required=True)
    template = make.template(space, name="Autumn card")
    sign_in(app, make.member(space))
    assert template.slug not in app.get("/docs/api").text


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.address}")
def test_the_examples_are_valid_in_their_languages(call: Call, tmp_path: Path) -> None:
    compile(LANGUAGES["Python"](call), "example.py", "exec")
    words = shlex.split(LANGUAGES["curl"](call).replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", call.method, call.address]
    if call.body:
        assert json.loads(words[words.index("--json") + 1]) == call.body
    script = tmp_path / "example.mjs"
    script.write_text(LANGUAGES["JavaScript"](call))
    subprocess.run([node(), "--check", str(script)], check=True)


def test_a_quote_in_the_data_ends_nothing() -> None:
    data = {"title": """It's "quoted" $HOME `id` \\ </script> {{ x }}"""}
    call = Call("POST", "https://site.example/v1/images", {"data": data}, gets="image")
    words = shlex.split(LANGUAGES["curl"](call).replace("\\\n", ""))
    assert json.loads(words[words.index("--json") + 1]) == {"data": data}
    keywords = [node for node in ast.walk(ast.parse(LANGUAGES["Python"](call))) if isinstance(node, ast.keyword)]
    assert [ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg == "json"] == [{"data": data}]


def test_the_first_example_makes_a_image(wsgi: Router, make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    browser = TestApp(wsgi)
    sign_in(browser, make.member(space))
    shown = browser.get("/docs/api").html.select_one('[data-language="curl"] code').text
    words = shlex.split(shown.replace("\\\n", ""))
    body = json.loads(words[words.index("--json") + 1])
    assert body["template"] == template.slug
    headers = dict(re.split(r":\s*", words[place + 1], maxsplit=1) for place, word in enumerate(words) if word == "-H")
    headers["Authorization"] = headers["Authorization"].replace(KEY, make.key(space, Scope.GENERATE))
    answer = TestApp(wsgi).post_json("/v1/images", body, headers=headers)
    assert answer.content_type == "image/png"
