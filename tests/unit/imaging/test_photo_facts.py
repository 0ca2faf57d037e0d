from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import MAX_EXAMINED_PHOTOS, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.findings import Finding
from tests.factories import jpeg, product_photo

FILES = {
    "white": product_photo((400, 300), ground=(255, 255, 255)),
    "yellow": product_photo((400, 300), ground=(240, 190, 80)),
    "small": product_photo((120, 90), ground=(255, 255, 255)),
    "empty": jpeg(400, 300, (255, 255, 255)),
    "damaged": b"\xff\xd8\xff\xe0 no image",
}
LARGE = "photo.width >= 400 && photo.height >= 300"


class Loader:
    """Loads the files, and counts how often each is loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, reference: str) -> Source:
        self.loaded.append(reference)
        if reference not in FILES:
            message = "The URL returned 404" if reference else "The row has no image"
            raise SourceMissingError(message, is_unnamed=not reference)
        return Source.of(FILES[reference])


def template(*layers: Mapping[str, Any], **more: Any) -> ImageTemplate:
    fields = [
        *({"name": name, "label": name, "type": "image"} for name in ("photo", "other")),
        {"name": "title", "label": "Title"},
    ]
    document = {"version": 3, "canvas": {"width": 80, "height": 60}, "fields": fields, "layers": layers, **more}
    return ImageTemplate.model_validate(document)


def box(**more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": "Box", "width": 80, "height": 60, "fill": "#ff0000", **more}


def image(source: str = "{{ photo }}", **more: Any) -> dict[str, Any]:
    return {"type": "image", "name": "Image", "source": source, "width": 80, "height": 60, "missing": "skip", **more}


def is_shown(condition: str, photo: str, **more: Any) -> bool:
    plan = Engine().plan(template(box(show_if=condition), **more))
    loaded = plan.load_photos({"photo": photo}, Loader())
    values = plan.fill_values({"photo": photo}, photos=loaded)
    pixels = plan.compose(values, plan.load_sources(values, Loader(), loaded)).pixels
    return bool((pixels[30, 40, :3] == (255, 0, 0)).all())


def findings(plan: Plan, loader: Loader, **data: str) -> list[Finding]:
    """Return the findings of a row, which the designer and a rendered image have in common."""
    photos = plan.load_photos(data, loader)
    values = plan.fill_values(data, photos=photos)
    sources = plan.load_sources(values, loader, photos)
    found = list(plan.compose(values, sources).findings)
    assert plan.lint(values, sources) == found
    return found


@pytest.mark.parametrize(
    ("condition", "photo"),
    [
        ('photo.background == "white"', "white"),
        ('photo.background == "uniform"', "yellow"),
        ('photo.background == "placeholder"', "empty"),
        ('photo.background in ["white", "cutout"]', "white"),
        ('photo.background.startsWith("uni")', "yellow"),
        ("photo.width == 400 && photo.height == 300 && !photo.too_small", "white"),
        ('photo.too_small && photo.background == "white"', "small"),
        ("photo.width / photo.height > 1.3", "white"),
        ('photo == "white" && photo.background == "white" && upper(photo) == "WHITE"', "white"),
        ('photo.background == "unknown" && photo == ""', ""),
        ('photo.background == "unknown"', "nowhere"),
        ('photo.background == "unknown"', "damaged"),
    ],
)
def test_condition_on_a_photo(condition: str, photo: str) -> None:
    assert is_shown(condition, photo)


@pytest.mark.parametrize(
    ("condition", "photo"),
    [('photo.background == "white"', "yellow"), ("photo.width < 500", "nowhere"), ("!photo.too_small", "nowhere")],
)
def test_condition_that_does_not_hold(condition: str, photo: str) -> None:
    assert not is_shown(condition, photo)


def test_computed_field_uses_a_photo() -> None:
    computed = [{"name": "kind", "value": 'photo.background + " " + string(photo.width)'}]
    assert is_shown('kind == "white 400"', "white", computed=computed)


def test_bound_property_uses_a_photo() -> None:
    focus = {"value": 'photo.background == "lifestyle" ? "attention" : "center"', "default": "center"}
    plan = Engine().plan(template(image(focus=focus)))
    photos = plan.load_photos({"photo": "white"}, Loader())
    assert findings(plan, Loader(), photo="white") == []
    assert list(photos) == ["white"]
    assert plan.used_fields == {"photo"}


def test_photo_is_loaded_once() -> None:
    plan, loader = Engine().plan(template(image(show_if=LARGE), box(show_if="other.width > 5"))), Loader()
    assert findings(plan, loader, photo="white", other=" white ") == []
    assert loader.loaded == ["white"]


def test_only_what_visible_layers_use_is_loaded() -> None:
    computed = [{"name": "kind", "value": "other.background"}]
    hidden = box(show_if="other.width > 5", hidden=True)
    plan, loader = Engine().plan(template(image(), hidden, computed=computed)), Loader()
    assert plan.load_photos({"photo": "white", "other": "white"}, loader) == {}
    assert loader.loaded == []


def test_photo_that_cannot_be_read_is_a_finding() -> None:
    shown_by = {"layers": [box(name="Inner", show_if="kind == 400")], "type": "group", "name": "Group"}
    computed = [{"name": "kind", "value": "photo.width"}]
    layers = box(show_if='title == ""'), {**shown_by, "width": 80, "height": 60}, image(show_if=LARGE)
    plan, loader = Engine().plan(template(*layers, computed=computed)), Loader()
    begin = "uses the photo of the field “photo” in an expression, but it cannot be read: "
    [missing] = findings(plan, loader, photo="nowhere")
    assert (missing.layer, missing.message) == ("Inner", f"{begin}the URL returned 404")
    [damaged] = findings(plan, loader, photo="damaged")
    assert damaged.message == f"{begin}the file is not a supported image. Use JPEG, PNG, WebP, GIF or AVIF"
    assert findings(plan, loader, photo="") == []
    assert loader.loaded == ["nowhere", "damaged", ""]


def test_digest_depends_on_what_is_known_of_a_photo() -> None:
    plan = Engine().plan(template(box(show_if='photo.background == "white"')))

    def digest(photo: str) -> str:
        photos = plan.load_photos({"photo": photo}, Loader())
        values = plan.fill_values({"photo": photo}, photos=photos)
        return plan.image_digest(values, plan.load_sources(values, Loader(), photos), Output())

    assert len({digest(photo) for photo in ("white", "yellow", "nowhere")}) == 3


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ('photo.background == "cut-out"', "compares “photo.background” with “cut-out”, so that they always differ"),
        ('"White" == photo.background', "Use: cutout, lifestyle, placeholder, uniform, unknown, white"),
        ('photo.width != "400"', "compares “photo.width” with “400”, so that they always differ. Use: number"),
        ("photo.too_small == 1", "Use: true or false"),
        ("title.width > 3", "uses “title.width”, but only fields of the type image have parts. “title” is of the type"),
        ("twice.width > 3", "“twice” is a computed field"),
        ("photo.color == 3", "Values have no parts: remove “.color”"),
        ("nothing.width > 3", "unknown field nothing"),
        ('["a"].exists(photo, photo.width > 3)', "An item of a list has no parts: “photo.width” (character 21)"),
    ],
)
def test_wrong_part_is_refused(condition: str, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        template(box(show_if=condition), computed=[{"name": "twice", "value": "title + title"}])
    assert reason in str(error.value)


def test_number_of_examined_photos_is_limited() -> None:
    names = [f"photo{number}" for number in range(MAX_EXAMINED_PHOTOS + 1)]
    fields = [{"name": name, "label": name, "type": "image"} for name in names]
    with pytest.raises(ValidationError, match="parts of the photos in 6 fields; the limit is 5"):
        template(box(show_if=" && ".join(f"{name}.too_small" for name in names)), fields=fields)


def test_member_of_an_entry_is_no_part_of_a_photo() -> None:
    """`item.width` is a member of an entry."""
    assert parse_expression('item.width == "wide" && photo.width == 3').photo_parts == {"photo.width"}
    fields = [{"name": "sizes", "label": "Sizes", "type": "list"}]
    stack = {"type": "stack", "name": "Stack", "width": 80, "height": 60, "repeat": {"field": "sizes"}}
    template({**stack, "layers": [box(show_if='item.width == "wide"')]}, fields=fields)


def test_entries_use_a_photo_of_the_row() -> None:
    condition = 'photo.width == 400 && item == "b"'
    fields = [{"name": "tags", "label": "Tags", "type": "list", "default": "a|b"}]
    fields.append({"name": "photo", "label": "Photo", "type": "image"})
    stack = {"type": "stack", "name": "Stack", "width": 80, "height": 120, "repeat": {"field": "tags"}}
    plan = Engine().plan(template({**stack, "layers": [box(show_if=condition)]}, fields=fields))
    values = plan.fill_values({"photo": "white"}, photos=plan.load_photos({"photo": "white"}, Loader()))
    assert len(plan.place(values, {})[0].children) == 1


def test_photo_takes_part_in_expressions_as_its_url() -> None:
    expression = parse_expression('photo.width > 3 ? photo : "x"')
    assert (expression.fields, expression.photos) == ({"photo"}, {"photo"})
