"""The starters of the gallery: every one is complete, and has no findings in any size with its sample rows."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cwz_web.demo import starters
from cwz_web.demo.starters import CATEGORIES, list_starters, open_starter
from cwz_web.imaging.condition_builder import field_types, parse_condition
from cwz_web.imaging.conditions import evaluate_condition
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.layers import ImageLayer, RatingLayer, walk_layers
from cwz_web.imaging.uploads import prepare_upload

SLUGS = list(list_starters())
# The first one of each category; `make test-slow` renders the others too.
FIRST_SLUGS = {entry.category: slug for slug, entry in reversed(list_starters().items())}.values()
FIRST_OR_SLOW = [pytest.param(slug, marks=() if slug in FIRST_SLUGS else pytest.mark.slow) for slug in SLUGS]


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
    assert len(entry.sizes) >= 3
    fields = {field.name for field in entry.fields}
    assert set(entry.key_fields) <= fields
    assert entry.key_fields
    assert all(row.keys() <= fields for row in file.get("rows", []))


def test_gallery_is_complete() -> None:
    entries = list_starters().values()
    assert len(entries) >= 30
    assert {entry.category for entry in entries} == set(CATEGORIES)
    names = [entry.name for entry in entries]
    assert len(names) == len(set(names))


def load(slug: str) -> Callable[[str], Source]:
    images = {f"upload:{source.digest}": source for source in open_starter(slug).illustrations}

    def load(reference: str) -> Source:
        if reference not in images:
            raise SourceMissingError("The row has no image")
        return images[reference]

    return load


@pytest.mark.parametrize("slug", FIRST_OR_SLOW)
def test_design_has_no_findings(slug: str, engine: Engine) -> None:
    plan = engine.plan(open_starter(slug).document)
    values = plan.fill_values({})
    findings = plan.lint(values, plan.load_sources(values, load(slug)))
    assert [(finding.layer, finding.message) for finding in findings] == []


@pytest.mark.parametrize("slug", FIRST_OR_SLOW)
def test_every_row_fits_every_size(slug: str, engine: Engine) -> None:
    """The layout is enough: colors are those of the first size."""
    starter = open_starter(slug)
    for size in starter.document.size_names:
        plan = engine.plan(starter.document, size)
        for number, row in enumerate(starter.rows):
            values = plan.fill_values(row)
            placed = plan.place(values, plan.load_sources(values, load(slug)))
            layers = [layer for each in placed for layer in each.walk()]
            cut = [each.layer.name for each in layers if each.overflow or (each.text and each.text.is_cut)]
            assert cut == [], (size, number)


@pytest.mark.parametrize("slug", SLUGS)
def test_photo_that_cannot_be_loaded_is_a_finding(slug: str, engine: Engine) -> None:
    """Layouts close the gap of a missing photo, so that nothing else would show that it is missing."""
    document = open_starter(slug).document
    plan = engine.plan(document)
    fields = (field.name for field in document.fields if field.type == "image" or field.name == "photos")
    photos = dict.fromkeys(fields, "https://shop.example/gone.jpg")

    def load(reference: str) -> Source:
        raise SourceMissingError("The URL returned 404", is_unnamed=not reference)

    values = plan.fill_values(photos)
    found = [each.message for each in plan.lint(values, plan.load_sources(values, load)) if "404" in each.message]
    assert bool(found) == bool(photos)


@pytest.mark.parametrize("slug", SLUGS)
def test_illustrations_are_stored_as_they_are(slug: str) -> None:
    """The document refers to their content, so preparing them as uploads must not change it."""
    for illustration in open_starter(slug).defaults.values():
        assert prepare_upload(illustration.data).source.digest == illustration.digest


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


@pytest.mark.parametrize("slug", ["product-ad", "review-card", "review-score"])
@pytest.mark.parametrize("rating", ["", "0", "0.0"])
def test_product_without_a_rating_has_no_stars(engine: Engine, slug: str, rating: str) -> None:
    document = open_starter(slug).document
    plan = engine.plan(document)
    stars = next(layer for layer in walk_layers(document.layers) if isinstance(layer, RatingLayer))
    assert isinstance(stars.show_if, str)
    assert parse_condition(stars.show_if, field_types(document, stars.name)), "people can edit it in rows"

    def is_shown(value: str) -> bool:
        return evaluate_condition(str(stars.show_if), plan.fill_values({"rating": value}))[0]

    assert not is_shown(rating)
    assert all(map(is_shown, ["4.5", "4,5", "0.5", "4.5/5"]))
