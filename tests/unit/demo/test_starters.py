"""The starters of the gallery: every one is complete, and has no findings in any size with its sample rows."""

import json
import re
from typing import Any

import pytest

from cwz_web.demo import starters
from cwz_web.demo.starters import CATEGORIES, list_starters, open_starter
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.layers import ImageLayer, walk_layers

SLUGS = list(list_starters())


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def read(slug: str) -> dict[str, Any]:
    file: dict[str, Any] = json.loads(starters._here.joinpath(f"{slug}.json").read_text())
    return file


@pytest.mark.parametrize("slug", SLUGS)
def test_file_is_complete(slug: str) -> None:
    file, entry = read(slug), list_starters()[slug]
    assert file.keys() <= {"name", "description", "category", "key_fields", "document", "rows"}
    assert entry.category in CATEGORIES
    assert len(entry.name) <= 30
    assert len(entry.description) <= 90
    assert not entry.description.endswith("."), "it is a caption"
    fields = {field.name for field in entry.fields}
    assert set(entry.key_fields) <= fields
    assert entry.key_fields
    assert all(row.keys() <= fields for row in file.get("rows", []))


def test_names_are_unique() -> None:
    names = [entry.name for entry in list_starters().values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("slug", SLUGS)
def test_no_size_has_findings_with_the_sample_values(slug: str, engine: Engine) -> None:
    starter = open_starter(slug)
    images = {f"upload:{source.digest}": source for source in starter.illustrations}
    for size in starter.document.size_names:
        plan = engine.plan(starter.document, size)
        values = plan.fill_values({})
        findings = plan.lint(values, plan.load_sources(values, images.__getitem__))
        assert [(size, finding.layer, finding.message) for finding in findings] == []


@pytest.mark.parametrize("slug", SLUGS)
def test_sample_rows_fit(slug: str, engine: Engine) -> None:
    """Their layout only: contrast and codes do not depend on the row."""
    starter = open_starter(slug)
    images = {f"upload:{source.digest}": source for source in starter.illustrations}
    plan = engine.plan(starter.document)
    for row in starter.rows[1:]:
        values = plan.fill_values(row)
        plan.place(values, plan.load_sources(values, images.__getitem__))


@pytest.mark.parametrize("slug", SLUGS)
def test_images_come_from_rows_or_illustrations(slug: str) -> None:
    """No image of a third party is loaded when a starter is shown."""
    text = json.dumps(read(slug))
    links = re.findall(r"https?://([^/\"]+)", text)
    assert all(host.endswith("example") or host == "example.org" for host in links)
    layers = walk_layers(open_starter(slug).document.layers)
    assert all(re.fullmatch(r"\{\{.*\}\}", layer.source) for layer in layers if isinstance(layer, ImageLayer))


def test_unknown_starter() -> None:
    with pytest.raises(KeyError):
        open_starter("../contents")
