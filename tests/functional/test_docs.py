"""The documentation: its snippets work, its links and names exist."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pyramid.router import Router
from webtest import TestApp

from cwz_web.demo.contents import TEMPLATE, read_template
from cwz_web.generation.api_keys import Scope
from cwz_web.guides import GUIDES
from cwz_web.settings import ENVIRONMENT, Settings
from cwz_web.web.example_data import ExampleData, fill_examples
from cwz_web.web.markdown import render_markdown
from cwz_web.web.services import Services
from tests.doc_examples import NAME, TITLE, add_own_template, reader_examples
from tests.factories import Factory, jpeg, sign_in, small_document
from tests.installation import ROOT, node
from tests.wsgi_server import serving

API = (ROOT / "docs" / "api.md").read_text()
KEY = "cwz_sign_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
VALUES = {"title": "a*b~c !'()-_.é/?&=+%😀", "price": " ", "e": "1800000000"}


def snippet(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", API, re.DOTALL)
    assert found is not None
    return found[1]


def sign_with_python(key: str, template: str, values: dict[str, str]) -> str:
    names: dict[str, object] = {}
    exec(snippet("python"), names)  # noqa: S102 - our own documentation
    return str(names["signed"]("", 1, key, template, "png", values))  # type: ignore[operator]


def sign_with_javascript(key: str, template: str, values: dict[str, str], folder: Path) -> str:
    given = json.dumps(["", 1, key, template, "png", values])
    (folder / "sign.mjs").write_text(f"{snippet('javascript')}\nconsole.log(signed(...{given}));\n")
    return subprocess.run([node(), folder / "sign.mjs"], capture_output=True, text=True, check=True).stdout.strip()


def test_both_snippets_create_the_same_signature(tmp_path: Path) -> None:
    url = sign_with_python(KEY, "t", VALUES)
    assert sign_with_javascript(KEY, "t", VALUES, tmp_path) == url
    vector = {"title": "Grüße & mehr", "price": "9", "e": "1800000000"}
    [signature] = re.findall(r"and `s` is `([\w-]{43})`", API)
    assert sign_with_python(KEY, "0190b0a0-0000-7000-8000-000000000002", vector).endswith(f"&s={signature}")


# What Google Apps Script has, as its reference describes it.
APPS_SCRIPT = """
import { createHmac } from "node:crypto";
const PropertiesService = { getScriptProperties: () => ({ getProperties: () => properties }) };
const Utilities = {
  Charset: { UTF_8: "utf-8" },
  computeHmacSha256Signature: (value, key, charset) => {
    const digest = createHmac("sha256", key).update(value, charset).digest();
    return [...new Int8Array(digest)];
  },
  base64EncodeWebSafe: (bytes) =>
    Buffer.from(bytes).toString("base64").replaceAll("+", "-").replaceAll("/", "_"),
};
"""


def test_script_for_spreadsheets_creates_the_same_signature(tmp_path: Path) -> None:
    found = re.search(r"```javascript\n(.*?)```", (ROOT / "docs/no-code.md").read_text(), re.DOTALL)
    assert found is not None
    properties = json.dumps({"URL": "", "KEY": KEY, "KEY_NUMBER": "1"})
    values = VALUES | {"note": "!'()*~ +&=%/?", "Z": "1", "a": "2"}
    arguments = json.dumps(["t", [list(values)], [list(values.values())]])
    call = f"console.log(CONNECTWYZE_URL(...{arguments}));"
    script = "\n".join((APPS_SCRIPT, f"const properties = {properties};", found[1], call))
    (tmp_path / "sheet.mjs").write_text(script)
    done = subprocess.run([node(), tmp_path / "sheet.mjs"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sign_with_python(KEY, "t", values)


@given(st.dictionaries(st.sampled_from(["title", "price", "_size"]), st.text(max_size=30)))
@settings(max_examples=60)
def test_signature_of_the_snippet_is_accepted(values: dict[str, str]) -> None:
    from urllib.parse import parse_qsl
    from uuid import UUID

    from cwz_web.generation.signed_urls import SignedUrls

    signed_urls, space = SignedUrls("a signing secret"), UUID(int=7)
    url = sign_with_python(signed_urls.key(space, 1), "t", values)
    parameters = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    signed_urls.check(space, "t.png", parameters, range(1, 2))


def test_url_signed_by_a_customer_works_until_its_key_is_retired(
    app: TestApp, make: Factory, services: Services
) -> None:
    space = make.workspace()
    template = make.template(space)
    url = sign_with_python(services.signed_urls.key(space.id, 1), str(template.id), {"title": "Mine", "_scale": "2"})
    first = app.get(url)
    assert (first.content_type, first.headers["Cache-Control"]) == ("image/png", "public, max-age=300")
    app.get(url, headers={"If-None-Match": first.headers["ETag"]}, status=304)
    assert app.head(url).headers["ETag"] == first.headers["ETag"]
    pinned = sign_with_python(services.signed_urls.key(space.id, 1), str(template.id), {"_version": "1"})
    assert "immutable" in app.get(pinned).headers["Cache-Control"]
    unknown = sign_with_python(services.signed_urls.key(space.id, 1), str(template.id), {"_version": "9"})
    assert app.get(unknown, status=422).json["code"] == "unknown_version"
    with make.database.transaction(space.id) as db:
        db.merge(space).signing_key_number = 2
    app.get(url, status=200)
    with make.database.transaction(space.id) as db:
        db.merge(space).oldest_signing_key_number = 2
    assert app.get(url, status=403).json["code"] == "invalid_signature"
    odd = sign_with_python(services.signed_urls.key(space.id, 2), str(template.id), {"_scale": "9"}).replace(
        "k=1", "k=2"
    )
    assert app.get(odd, status="*").status_int in (403, 422)


def test_unsigned_url_may_have_open_parameters_only(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    assert app.get(f"/i/{template.id}.png?title=x", status=403).json["code"] == "invalid_signature"
    with make.database.transaction(space.id) as db:
        db.merge(template).unsigned_parameters = ["title"]
    assert app.get(f"/i/{template.id}.png?title=x").content_type == "image/png"
    assert "price" in app.get(f"/i/{template.id}.png?title=x&price=1", status=403).json["errors"]
    assert app.get(f"/i/{template.id}.png?title=x&s=wrong", status=403).json["code"] == "invalid_signature"


class TestReaderExamples:
    """The examples of the guides use the template of a signed-in reader, and curl executes them."""

    def run(self, code: str, wsgi: Router, key: str, folder: Path) -> list[Any]:
        """Execute a script, and return the JSON objects that it prints."""
        with serving(lambda environ, start: wsgi(environ | {"HTTP_HOST": "localhost"}, start)) as port:
            script = code.replace("http://localhost", f"http://127.0.0.1:{port}")
            variables = os.environ | {"CWZ_API_KEY": key}
            done = subprocess.run(
                ["bash", "-e", "-c", script], cwd=folder, env=variables, capture_output=True, text=True, check=True
            )
        found, rest = [], done.stdout.lstrip()
        while rest:
            value, end = json.JSONDecoder().raw_decode(rest)
            found.append(value)
            rest = rest[end:].lstrip()
        return found

    def test_curl_examples_of_the_api_guide(self, wsgi: Router, make: Factory, tmp_path: Path) -> None:
        space, app = make.workspace(), TestApp(wsgi)
        lists = small_document()
        lists["fields"] += [{"name": name, "label": name, "type": "list"} for name in ("tags", "reviews")]
        make.template(space, lists, name="Reviews")
        make.template(space, read_template(), name="Product card")
        add_own_template(make, space)
        key = make.key(space, Scope.ADMIN)
        sign_in(app, make.member(space))
        (tmp_path / "logo.png").write_bytes(jpeg())
        reviews, images, items, overrides, image, uploads, brand = reader_examples(app, "api", "bash")
        for code in (images, items, image):
            assert '"autumn-card"' in code
        assert self.run(reviews, wsgi, key, tmp_path) == []
        # What it overrides is open in the template of the demo.
        assert self.run(overrides, wsgi, make.key(space, Scope.GENERATE), tmp_path) == []
        for name in ("reviews.jpg", "card.jpg"):
            assert (tmp_path / name).read_bytes().startswith(b"\xff\xd8"), (tmp_path / name).read_bytes()
        [made] = self.run(images, wsgi, key, tmp_path)
        assert [(each["size"], each["format"]) for each in made["images"]] == [("default", "png"), ("square", "jpg")]
        [made] = self.run(image, wsgi, key, tmp_path)
        assert (made["width"], made["cached"]) == (300, False)
        assert json.loads(shlex.split(image.replace("\\\n", ""))[-1])["data"] == {"title": TITLE}
        [started] = self.run(items, wsgi, key, tmp_path)
        assert (started["state"], started["total"]) == ("pending", 4)
        added, fetched = self.run(uploads, wsgi, key, tmp_path)
        assert (added["kind"], added["name"]) == ("image", "logo")
        assert {*fetched["errors"]} == {"url"}, "tests connect to this machine only"
        brand = brand.replace("upload:…", added["reference"]).replace('"revision": 3', '"revision": 0')
        [saved] = self.run(brand, wsgi, key, tmp_path)
        assert saved["revision"] == 1

    @pytest.mark.parametrize("size", ["default", "square", ExampleData().size])
    def test_demo_has_what_examples_for_visitors_name(self, wsgi: Router, make: Factory, size: str) -> None:
        space, about = make.workspace(), ExampleData()
        assert make.template(space, read_template(), name=TEMPLATE).slug == about.template
        body = {"template": about.template, "data": dict(about.data), "size": size}
        key = {"Authorization": f"Bearer {make.key(space, Scope.GENERATE)}"}
        made = TestApp(wsgi).post_json("/v1/images", body, headers=key, status=201).json
        assert [finding["code"] for finding in made["findings"]] == ["photo_missing"]

    def test_page_names_template_and_key_of_the_reader(self, wsgi: Router, make: Factory) -> None:
        space, other, app = make.workspace(), make.workspace(), TestApp(wsgi)
        own, foreign = add_own_template(make, space), make.template(other, name="Secret card")
        key = make.key(space, Scope.GENERATE)
        make.key(space, Scope.READ)
        make.key(space, Scope.GENERATE, origins=("https://shop.example",))
        for guide in ("api", "clients"):
            page = app.get(f"/docs/guides/{guide}")
            assert "product-card" in page.text
            assert page.html.find("a", string="Sign in", href="/signin")
        sign_in(app, make.member(space))
        for guide in ("api", "clients"):
            page = app.get(f"/docs/guides/{guide}?workspace={other.slug}")
            assert NAME in page.text
            assert own.slug in page.text
            assert foreign.slug not in page.text
            assert f"Test ({key[:13]}" in page.html.select_one("main p.muted").text
            assert key not in page.text
            assert page.headers["Cache-Control"] == "private, no-store"
        assert "product-card" not in str(reader_examples(app, "clients", "python")[:2])
        assert "product-card" in TestApp(wsgi).get("/docs/guides/clients").text

    @pytest.mark.parametrize("guide", ["api", "clients", "mcp", "no-code"])
    def test_pages_name_this_installation(self, app: TestApp, guide: str) -> None:
        for path in (f"/docs/guides/{guide}", f"/docs/guides/{guide}.md"):
            page = app.get(path).text
            assert "images.example.com" not in page
            assert "http://localhost" in page

    def test_values_of_a_template_end_neither_code_nor_quotes(self) -> None:
        about = ExampleData(template_name="x", data=(("title", TITLE + "\n```\n<script>'; id #"),), size="a'b")
        sample = '{"template": "product-card", "data": {"title": "Stoneware mug", "price": "24.00"}}'
        text = f"```bash\ncurl --json '{sample}'\n```\n"
        filled = fill_examples(text, "https://cwz.example", about)
        assert filled.count("\n") == text.count("\n")
        assert filled.count("'") == 2
        [shown] = re.findall("<code.*?</code>", render_markdown(filled, lambda url: url).html, re.DOTALL)
        assert "&lt;script&gt;" in shown
        assert "<script>" not in shown
        [body] = re.findall("'(.*)'", filled)
        assert json.loads(body)["data"] == dict(about.data)


# Their examples are parts of a package: the imports and the whole package are executed here.
PLUGIN_GUIDES = ("feed-sources", "image-processors", "storage-plugins")


def python_examples(guide: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{guide}.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("guide", PLUGIN_GUIDES)
def test_names_that_plugins_import_exist(guide: str) -> None:
    exec(python_examples(guide)[0], {})  # noqa: S102 - our own documentation


def test_image_processor_of_the_guide_works() -> None:
    names: dict[str, Any] = {"__name__": "cwz_image_sepia"}
    exec(python_examples("image-processors")[1], names)  # noqa: S102 - our own documentation
    [sepia] = names["cwz_image_processors"]()
    assert sepia.process(jpeg()).startswith(b"\x89PNG")
    with pytest.raises(names["ProcessingError"]):
        sepia.process(b"no image")


def test_every_runnable_example_has_a_test() -> None:
    """Each block in one of these languages is executed, here, in test_clients.py or in test_template_files.py."""
    tested = {
        ("api", "bash"): 7,
        ("api", "javascript"): 1,
        ("api", "python"): 1,
        ("clients", "python"): 5,
        ("clients", "typescript"): 4,
        ("no-code", "javascript"): 1,
        ("templates-as-code", "bash"): 3,
    }
    found: Counter[tuple[str, str]] = Counter()
    for name, guide in GUIDES.items():
        assert not re.search(r"^    curl ", guide.read(), re.MULTILINE), f"{name}: write ```bash"
        if name not in PLUGIN_GUIDES:
            languages = re.findall(r"^```(bash|javascript|python|typescript)$", guide.read(), re.MULTILINE)
            found.update((name, language) for language in languages)
    assert found == tested


DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
SETTING = r"\bcwz\.([a-z][a-z_.]*[a-z])"
# A file name, and settings of a PostgreSQL session.
NO_SETTINGS = {"ini", "backup_session", "workspace_id", "image_processors"}
# Settings that only development.ini has.
DEVELOPMENT = {"database.embedded", "demo"}
# Settings whose names continue with a name of the operator's choice, and their collections.
OPEN_GROUPS = ("backup.", "feed_sources.", "included_storage.", "limit.", "plan.", "storage.", "secrets.file")
OPEN_SETTINGS = {"backup.options", "included_storage.options", "limit", "plan", "storage", "feed_sources"}


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts create them."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_the_documentation_have_a_target(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        if anchor:
            assert anchor in anchors_of(found), target


def test_files_named_in_the_documentation_exist() -> None:
    for path in DOCS:
        for name in re.findall(r"`((?:docs|deploy|bench|tests|scripts|plugins|cwz_web)/[\w./-]+)`", path.read_text()):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the settings of a model and of its groups."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_names(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_documented_settings_exist_and_production_ini_has_each() -> None:
    known = set(setting_names(Settings))
    groups = {name.rpartition(".")[0] for name in known}
    for path in [*DOCS, *ROOT.glob("*.ini"), *ROOT.glob("deploy/*.ini"), *ROOT.glob("deploy/*.yaml")]:
        for name in re.findall(SETTING, path.read_text()):
            is_known = name in known | groups | NO_SETTINGS or name.startswith(OPEN_GROUPS)
            assert is_known, f"{path.name}: cwz.{name}"
    production = (ROOT / "production.ini").read_text()
    documented = set(re.findall(SETTING, production))
    assert known - documented - set(ENVIRONMENT) - DEVELOPMENT - OPEN_SETTINGS == set()
    for variable in ENVIRONMENT.values():
        assert variable in production, variable


def test_architecture_diagram_matches_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/draw_architecture.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
