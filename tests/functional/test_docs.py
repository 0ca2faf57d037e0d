"""The documentation: its snippets work, its links and names exist."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from webtest import TestApp

from cwz_web.settings import ENVIRONMENT, Settings
from cwz_web.web.services import Services
from tests.factories import Factory
from tests.installation import ROOT, node

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
