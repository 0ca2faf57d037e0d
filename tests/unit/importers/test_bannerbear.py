"""Templates of Bannerbear V5 become documents, and the report says what differs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.importers.bannerbear import KINDS, convert_template
from cwz_web.importers.builder import ImportedTemplate, ImportOptions
from cwz_web.importers.report import MAX_ENTRIES, InvalidImportError, Outcome

DATA = Path(__file__).parent.parent.parent / "data" / "importers"
SAMPLE = json.loads((DATA / "bannerbear-v5-template.json").read_text())
# Values that no editor writes, but that a JSON can have.
STRANGE = [None, True, -1, 0, 0.5, 1e308, -1e308, float("nan"), float("inf"), 10**400, "", "x" * 3000, "{{ a }}", "{{"]
STRANGE += [
    "\x00\ud800",
    "1e400",
    "NaN",
    "12px",
    "-5px",
    "#fff",
    "rgb(0 0 0 / 0)",
    "url(",
    "((((",
    [],
    {},
    [1],
    {"a": {}},
]


def convert(*objects: dict[str, Any], options: ImportOptions | None = None, **more: Any) -> ImportedTemplate:
    parsed = {"name": "Card", "width": 600, "height": 400, "config": {"objects": list(objects)}} | more
    return convert_template(parsed, options or ImportOptions())


def only_layer(kind: str, **properties: Any) -> dict[str, Any]:
    box = {"left": 10, "top": 20, "width": 200, "height": 100}
    imported = convert({"id": "a", "type": kind, "name": "Layer one", **box, **_dashed(properties)})
    layers = json.loads(imported.document.to_json())["layers"]
    assert len(layers) == 1
    return dict(layers[0])


def report_of(kind: str, **properties: Any) -> dict[str, Outcome]:
    box = {"left": 10, "top": 20, "width": 200, "height": 100}
    imported = convert({"id": "a", "type": kind, "name": "Layer one", **box, **_dashed(properties)})
    return {entry.property: entry.outcome for entry in imported.report.entries if entry.layer == "Layer one"}


def _dashed(properties: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in properties.items()}


def test_sample_becomes_a_document_with_a_field_for_each_named_content() -> None:
    imported = convert_template(SAMPLE, ImportOptions())
    document = imported.document
    assert imported.name == "Autumn sale"
    assert (document.canvas.width, document.canvas.height) == (1200, 630)
    assert [(field.name, field.type) for field in document.fields] == [
        ("photo", "image"),
        ("title", "text"),
        ("price", "text"),
        ("stars", "number"),
        ("link", "text"),
        ("maker", "image"),
    ]
    assert document.fields[0].default == "https://images.example/mug.jpg", "fetched only when an image is rendered"
    assert [layer.name for layer in document.layers][:4] == ["Ground", "Photo", "Title", "Price"]
    left_out = {(entry.layer, entry.property) for entry in imported.report.of(Outcome.LEFT_OUT)}
    assert {("Sparkle", ""), ("Title", "skewX"), ("Title", "anchor-to"), ("Stars", "rating-gap")} <= left_out


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"text_align": "right"}, {"align": "end"}),
        ({"text_align": "right", "direction": "rtl"}, {"direction": "rtl"}),
        ({"align_items": "center"}, {"valign": "middle"}),
        ({"text_transform": "uppercase"}, {"case": "upper"}),
        ({"text_decoration": "line-through"}, {"strike": True}),
        ({"font_weight": "bold", "font_style": "italic"}, {"weight": 700, "italic": True}),
        ({"text_fit": "auto_fit"}, {"fit": "grow", "max_size": 100, "min_size": 6}),
        ({"text_fit": "off"}, {"fit": "clip"}),
        ({"text_fit": "off", "text_ellipsis": True}, {"fit": "ellipsis"}),
        ({"font_size": 20, "line_height": 1}, {"size": 20, "line_height": 1.0, "max_lines": 5}),
        ({"text_highlight_color": "gold", "text_highlight_padding_vertical": 4}, {"box": "lines", "padding": 4}),
        ({"text_shadow": "2px 3px 8px #00000080"}, {"shadow": [{"color": "#00000080", "x": 2, "y": 3, "blur": 4.0}]}),
        ({"hidden": True, "opacity": 0.5}, {"hidden": True, "opacity": 0.5}),
        ({"rotate": 350, "rotateZ": 20}, {"rotation": 10.0}),
        ({"responsive_size": "stretch-x"}, {"pins": {"horizontal": "both"}}),
        ({"responsive_position": "center-y"}, {"pins": {"vertical": "center"}}),
    ],
)  # fmt: skip
def test_properties_of_texts(properties: dict[str, Any], expected: dict[str, Any]) -> None:
    layer = only_layer("text", text="Hello", **{"font_size": 40} | properties)
    assert {key: layer.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"background_size": "contain"}, {"fit": "contain"}),
        ({"background_position": "right bottom"}, {"focus": [1.0, 1.0]}),
        ({"background_position": "top"}, {"focus": [0.5, 0.0]}),
        ({"background_position": "25% 75%"}, {"focus": [0.25, 0.75]}),
        ({"ai_detect": "subject"}, {"focus": "attention"}),
        ({"grayscale": 1}, {"grayscale": True}),
        ({"grayscale": 0.5, "saturate": 2}, {}),
        ({"brightness": 1.2}, {"adjust": {"brightness": 1.2}}),
        ({"ai_background_remove": "enabled"}, {"process": "cutout"}),
        ({"png_stroke_width": 5, "png_stroke_color": "#fff"}, {"outline": {"color": "#ffffff", "width": 5.0}}),
        ({"blur": 4}, {"adjust": {"blur": 4.0}}),
    ],
)
def test_properties_of_images(properties: dict[str, Any], expected: dict[str, Any]) -> None:
    layer = only_layer("image", **properties)
    assert layer["source"] == "{{ layer_one }}"
    assert {key: layer.get(key) for key in expected} == expected


def test_circle_container_is_a_round_image() -> None:
    assert only_layer("circle_image_container")["mask"] == "circle"


def test_padding_of_an_image_leaves_its_background_around_it() -> None:
    photo = {"type": "image", "name": "Photo", "left": 0, "top": 0, "width": 100, "height": 80, "padding": 10}
    document = convert(photo | {"background-color": "#eeeeee", "border-radius": 8}).document
    ground, image = document.layers
    assert (ground.name, ground.width, ground.radius) == ("Photo background", 100, 8)
    assert (image.x, image.y, image.width, image.height) == (10, 10, 80, 60)


def test_code_and_rating() -> None:
    code = only_layer("bar_code", barcode_format="EAN13", barcode_data="4006381333931", barcode_color="navy")
    assert (code["code"], code["color"], code["content"]) == ("ean13", "#000080", "{{ layer_one }}")
    rating = {"type": "rating", "name": "Stars", "left": 0, "top": 0, "width": 90, "height": 20}
    document = convert(rating | {"rating-score": 90, "rating-count": 4}).document
    assert [field.default for field in document.fields] == ["90"]
    assert document.computed[0].value == "stars * 4 / 100"


@pytest.mark.parametrize("shape", ["triangle", "hexagon", "star", "ring", "cross"])
def test_shapes(shape: str) -> None:
    layer = only_layer("svg_shape", basic_shape=shape, fill="#123456", stroke="#fff", stroke_width=2)
    assert layer["type"] == "shape"
    assert layer["border"] == {"color": "#ffffff", "width": 2.0}


def test_what_has_no_equivalent_is_reported_with_layer_and_property() -> None:
    report = report_of("text", text="a", font_size=20, rotateX=10, sepia=1, blur=3, no_such_thing=1, rotateY=0)
    expected = dict.fromkeys(["rotateX", "sepia", "blur", "no-such-thing"], Outcome.LEFT_OUT)
    assert {name: report[name] for name in expected} == expected
    assert "rotateY" not in report, "0 changes nothing"


def test_unknown_font_is_reported_and_one_of_the_workspace_is_found() -> None:
    text = {"type": "text", "name": "T", "width": 90, "height": 20, "text": "a", "font-size": 12}
    reference = f"upload:{'a' * 64}"
    options = ImportOptions(fonts={"Brandon Grotesque": reference})
    found = convert(text | {"font-family": "brandon grotesque, serif"}, options=options)
    assert found.document.layers[0].font == reference  # type: ignore[union-attr]
    missing = convert(text | {"font-family": f"upload:{'b' * 64}"})
    assert missing.document.layers[0].font == "Inter", "a reference in a JSON is no font of the workspace"  # type: ignore[union-attr]
    assert any(entry.property == "font-family" for entry in missing.report.of(Outcome.CHANGED))


@pytest.mark.parametrize(
    "url", [f"upload:{'a' * 64}", "brand:logo", "file:///etc/passwd", "javascript:alert(1)", "data:,"]
)
def test_only_public_urls_become_defaults_of_images(url: str) -> None:
    imported = convert({"type": "image", "name": "Logo", "width": 10, "height": 10, "background-image": url})
    assert imported.document.fields[0].default == ""
    assert any(entry.property == "background-image" for entry in imported.report.of(Outcome.LEFT_OUT))


def test_bindings_in_texts_are_texts() -> None:
    box = {"type": "text", "width": 90, "height": 20, "font-size": 12}
    named, unnamed = convert(
        {**box, "name": "title", "text": "{{ secret | upper }}"}, {**box, "id": 7, "text": "a {{ b"}
    ).document.layers
    assert named.text == "{{ title }}"  # type: ignore[union-attr]
    assert unnamed.text == "{{ field_7 }}"  # type: ignore[union-attr]
    html = convert({**box, "name": "title", "text": "Fish &amp; Chips"}).document.layers[0]
    assert html.text == "{{ title | raw }}"  # type: ignore[union-attr]


def test_names_are_made_unique_and_plain() -> None:
    box = {"type": "rectangle", "width": 9, "height": 9}
    names = ["Title", "Title", "  a\x00\x1b[31m\n b ", "", "x" * 200, "\u202eevil"]
    layers = convert(*({**box, "name": name} for name in names)).document.layers
    assert [layer.name for layer in layers][:4] == ["Title", "Title 2", "a [31m b", "Rectangle"]
    assert all(len(layer.name) <= 60 and layer.name.isprintable() for layer in layers)


def test_secondary_style_is_left_out_with_its_asterisks() -> None:
    text = {"type": "text", "name": "Title", "width": 90, "height": 20, "text": "a *b* c"}
    assert convert(text).document.fields[0].default == "a *b* c"
    imported = convert(text | {"color-secondary": "red"})
    assert imported.document.fields[0].default == "a b c"
    assert any(entry.property == "*-secondary" for entry in imported.report.of(Outcome.LEFT_OUT))


@pytest.mark.parametrize(
    ("parsed", "message"),
    [
        ({"width": 10, "config": {"objects": []}}, "no size"),
        ({"width": 8192, "height": 100, "config": {"objects": []}}, "Scale the template to 50 %"),
        ({"width": 1e308, "height": 100, "config": {"objects": []}}, "Scale the template to 1 %"),
        ({"width": float("inf"), "height": 100, "config": {"objects": []}}, "“width”"),
        ({"width": 9, "height": 9, "config": {"objects": [{"name": "a"}]}}, "“config.objects.0.type” is missing"),
        ({"width": 9, "height": 9, "config": {"objects": [{"type": "text"}] * 5000}}, "limit of 100"),
        ({"width": 9, "height": 9, "config": {"objects": {"a": 1}}}, "“config.objects”"),
        ([], "cannot be read"),
    ],
)
def test_what_cannot_be_imported_is_a_clear_error(parsed: Any, message: str) -> None:
    with pytest.raises(InvalidImportError, match=message):
        convert_template(parsed, ImportOptions())


def test_too_many_layers_fields_and_properties() -> None:
    padded = {"type": "image", "width": 90, "height": 90, "padding": 1, "background-color": "#fff"}
    with pytest.raises(InvalidImportError, match="120 layers"):
        convert(*({**padded, "name": f"p{at}"} for at in range(60)))
    texts = [{"type": "text", "name": f"t{at}", "width": 9, "height": 9, "text": "{{ x }}"} for at in range(100)]
    imported = convert(*texts)
    assert len(imported.document.fields) == 50
    noisy = {"type": "rectangle", "width": 9, "height": 9, **{f"key{at}": at for at in range(100)}}
    report = convert(*({**noisy, "name": f"r{at}"} for at in range(100))).report
    assert len(report.entries) == MAX_ENTRIES
    assert report.omitted > 0


PROPERTIES = sorted(
    {name for layer in SAMPLE["config"]["objects"] for name in layer if name not in ("id", "type", "name")}
    | {
        "blur",
        "text-highlight-color",
        "text-background-image-mask",
        "background-blend-mode",
        "png-shadow",
        "barcode-data",
    }
    | {
        "text-stroke-width",
        "text-fit",
        "responsive-size",
        "opacity",
        "hidden",
        "text-ellipsis",
        "letter-spacing",
        "barcode-data",
    }
    | {"font-weight", "white-space", "ai-background-remove", "rating-shadow", "stroke", "stroke-width", "basic-shape"}
)
SENSIBLE = [value for layer in SAMPLE["config"]["objects"] for value in layer.values()] + [
    "multiply",
    "auto_fit",
    "nowrap",
]
SENSIBLE += ["4px 4px 9px red, 1px 1px blue", "enabled", "triangle", "stretch", 900]
OBJECTS = st.builds(
    lambda kind, name, properties: {"type": kind, "name": name, **properties},
    st.sampled_from([*KINDS, "chart"]),
    st.one_of(st.none(), st.sampled_from(["Title", "{{ a }}", "s", "1", "a\x00b", "É"]), st.text(max_size=70)),
    st.dictionaries(st.sampled_from(PROPERTIES), st.sampled_from([*SENSIBLE, *STRANGE]), max_size=14),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(OBJECTS, max_size=8),
    st.sampled_from([*STRANGE, 600]),
    st.sampled_from([600, 4096, "400", "x"]),
)
def test_any_template_is_a_valid_document_or_a_clear_error(
    objects: list[dict[str, Any]], width: Any, height: Any
) -> None:
    parsed = {"name": "Any", "width": width, "height": height, "config": {"objects": objects}}
    try:
        imported = convert_template(parsed, ImportOptions())
    except InvalidImportError as error:
        problem = str(error)
    else:
        problem = ""
        document = json.loads(json.dumps(imported.document.canonical(), allow_nan=False).encode())
        assert ImageTemplate.model_validate(document) == imported.document
        assert all(entry.message and entry.property.isprintable() for entry in imported.report.entries)
    assert "cannot be converted" not in problem, "a converter made what is not valid"
