"""The API reference at `/docs/api`; its examples are executed."""

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.api.documentation import ExampleData, example_of
from cwz_web.api.examples import KEY, LANGUAGES, Example
from cwz_web.api.openapi import OPERATIONS
from cwz_web.generation.api_keys import Scope
from tests.factories import Factory, sign_in
from tests.installation import node
from tests.wsgi_server import serving

EXAMPLES = [example_of(operation, "https://site.example", ExampleData()) for operation in OPERATIONS]

# Parses modules by name, from standard input; an error names the module and its line.
PARSE_MODULES = """
const scripts = Object.entries(JSON.parse(require("node:fs").readFileSync(0, "utf8")));
for (const [identifier, text] of scripts) new (require("node:vm").SourceTextModule)(text, { identifier });
console.log(scripts.length);
"""


def test_reference_shows_every_operation_with_its_examples(app: TestApp) -> None:
    page = app.get("/docs/api")
    articles = page.html.select("main article .example")
    assert len(articles) == len(OPERATIONS) * len(LANGUAGES)
    for operation in OPERATIONS:
        assert f"/v1{operation.path}" in page.text
    assert "Sign in" in page.text
    models = app.get("/docs/models").html
    for part in ("RunOutput", "RunItemInfo", "ColumnInfo", "ProblemInfo"):
        assert models.find(id=part), "models inside lists are described, too"
    for link in page.html.select("main a"):
        path, _, anchor = link["href"].partition("#")
        if anchor:
            assert (models if path == "/docs/models" else page.html).find(id=anchor), link["href"]


def test_examples_use_the_template_and_feed_of_the_user(app: TestApp, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    feed, template = make.feed(space), make.template(space, name="Autumn card")
    sign_in(app, make.member(space))
    page = app.get("/docs/api").text
    assert template.slug in page
    assert str(template.id) in page
    assert str(feed.id) in page
    foreign = make.template(other, name="Secret card")
    assert foreign.slug not in app.get(f"/docs/api?workspace={other.slug}").text


def test_workspace_that_requires_a_second_factor_is_not_shown(app: TestApp, make: Factory) -> None:
    space = make.workspace(second_factor_required=True)
    template = make.template(space, name="Autumn card")
    sign_in(app, make.member(space))
    assert template.slug not in app.get("/docs/api").text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.method} {example.url}")
def test_examples_are_valid_in_their_languages(example: Example) -> None:
    compile(LANGUAGES["Python"](example), "example.py", "exec")
    words = shlex.split(LANGUAGES["curl"](example).replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", example.method, example.url]
    if example.body:
        assert json.loads(words[words.index("--json") + 1]) == example.body


def test_examples_are_valid_javascript() -> None:
    """In one process: Node takes longer to start than to parse them all."""
    scripts = {f"{example.method} {example.url}": LANGUAGES["JavaScript"](example) for example in EXAMPLES}
    command = [node(), "--experimental-vm-modules", "--no-warnings", "--eval", PARSE_MODULES]
    done = subprocess.run(command, input=json.dumps(scripts), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(EXAMPLES)


def test_quotes_in_the_data_are_escaped() -> None:
    data = {"title": """It's "quoted" $HOME `id` \\ </script> {{ x }}"""}
    example = Example("POST", "https://site.example/v1/images", {"data": data}, response="image")
    words = shlex.split(LANGUAGES["curl"](example).replace("\\\n", ""))
    assert json.loads(words[words.index("--json") + 1]) == {"data": data}
    keywords = [node for node in ast.walk(ast.parse(LANGUAGES["Python"](example))) if isinstance(node, ast.keyword)]
    assert [ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg == "json"] == [{"data": data}]


@pytest.mark.parametrize(("language", "program"), [("curl", "bash"), ("Python", sys.executable), ("JavaScript", "")])
def test_first_example_renders_an_image(
    language: str, program: str, wsgi: Router, make: Factory, tmp_path: Path
) -> None:
    space = make.workspace()
    template = make.template(space)
    browser = TestApp(wsgi)
    sign_in(browser, make.member(space))
    code = browser.get("/docs/api").html.select_one(f'[data-language="{language}"] code').text
    assert f'"template": "{template.slug}"' in code
    file = tmp_path / "example.mjs"
    with serving(lambda environ, start: wsgi(environ | {"HTTP_HOST": "localhost"}, start)) as port:
        code = code.replace(KEY, make.key(space, Scope.GENERATE)).replace(
            "http://localhost", f"http://127.0.0.1:{port}"
        )
        file.write_text(code)
        done = subprocess.run([program or node(), file], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")
