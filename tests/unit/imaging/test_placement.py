"""Stacks, groups, pins and repeated layers: where the layers of a row are."""

import io
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.findings import FindingCode
from cwz_web.imaging.layer_rendering import fit_layer_text
from cwz_web.imaging.layers import walk_layers
from cwz_web.imaging.lists import split_list
from cwz_web.imaging.placement import LoadedSources, PlacedLayer, Placement
from cwz_web.imaging.planned_layers import PlannedLayer
from cwz_web.values.formats import ValueFormat, with_format

Box = tuple[int, int, int, int]


def photo(width: int, height: int) -> Source:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#336699").save(file, "PNG")
    return Source.of(file.getvalue())


SOURCES: dict[str, Source | SourceMissingError] = {"wide": photo(200, 100), "": SourceMissingError("none")}


def template(*layers: Mapping[str, Any], fields: Mapping[str, str] | None = None, **more: Any) -> ImageTemplate:
    document = {
        "version": 3,
        "canvas": {"width": 400, "height": 300},
        "fields": [{"name": name, "label": name, "default": value} for name, value in (fields or {}).items()],
        "layers": layers,
        **more,
    }
    return ImageTemplate.model_validate(document)


def place(document: ImageTemplate, values: Mapping[str, str] | None = None) -> list[PlacedLayer]:
    defaults = {field.name: field.default for field in document.fields}
    canvas = document.canvas
    placement = Placement(canvas.width, canvas.height, SOURCES, fit_with(SOURCES))
    row = {**defaults, **(values or {})}
    return [placement.place(PlannedLayer.of(layer), row) for layer in document.layers if not layer.hidden]


def fit_with(sources: LoadedSources) -> Any:
    return lambda layer, texts, width, height: fit_layer_text(layer, texts, width, height, sources)


def walk(placed: PlacedLayer) -> Iterator[PlacedLayer]:
    yield placed
    for child in placed.children:
        yield from walk(child)


def boxes(document: ImageTemplate, values: Mapping[str, str] | None = None) -> dict[str, list[Box]]:
    """Return the boxes of the layers by name, as (left, top, width, height)."""
    found: dict[str, list[Box]] = {}
    for placed in place(document, values):
        for each in walk(placed):
            layer = each.layer
            found.setdefault(layer.name, []).append((layer.left, layer.top, layer.width, layer.height))
    return found


def shape(name: str, width: int = 40, height: int = 20, **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": "#000000", "width": width, "height": height, **more}


def text(name: str, content: str, **more: Any) -> dict[str, Any]:
    sizing = {"width": "hug", "height": "hug"}
    return {"type": "text", "name": name, "text": content, "size": 20, "sizing": sizing, **more}


def stack(*layers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "stack", "name": "Stack", "x": 10, "y": 20, "width": 200, "height": 100, "layers": layers} | more


FILL = {"width": "fill", "height": "fill"}
HUG = {"width": "hug", "height": "hug"}


def test_column_places_layers_below_each_other() -> None:
    found = boxes(template(stack(shape("A"), shape("B"), gap=5, padding=8)))
    assert found["A"] == [(18, 28, 40, 20)]
    assert found["B"] == [(18, 53, 40, 20)]


@pytest.mark.parametrize(
    ("align", "left", "width"), [("start", 10, 40), ("center", 90, 40), ("end", 170, 40), ("stretch", 10, 40)]
)
def test_align_places_layers_across_the_stack(align: str, left: int, width: int) -> None:
    assert boxes(template(stack(shape("A"), align=align)))["A"] == [(left, 20, width, 20)]


def test_stretch_widens_layers_whose_width_is_flexible() -> None:
    found = boxes(template(stack(text("A", "Hi"), align="stretch")))
    assert found["A"][0][2] == 200


def test_fill_shares_the_room() -> None:
    found = boxes(template(stack(shape("A", sizing=FILL), shape("B"), shape("C", sizing=FILL), direction="row")))
    assert found["A"] == [(10, 20, 80, 100)]
    assert found["B"] == [(90, 20, 40, 20)]
    assert found["C"] == [(130, 20, 80, 100)]


def test_stack_hugs_its_layers_and_keeps_its_anchor() -> None:
    document = template(
        stack(shape("A"), shape("B", 60), gap=4, padding=10, sizing=HUG, x=400, y=300, anchor="bottom-right")
    )
    assert boxes(document)["Stack"] == [(320, 236, 80, 64)]


def test_hidden_and_empty_layers_take_no_room() -> None:
    condition = {"field": "price", "is": "filled"}
    document = template(
        stack(
            text("Title", "{{ title }}"),
            shape("Line", show_if=condition),
            {"type": "image", "name": "Photo", "source": "{{ photo }}", "width": 50, "height": 50, "missing": "skip"},
            {"type": "stack", "name": "Inner", "padding": 20, "sizing": HUG, "layers": [text("Price", "{{ price }}")]},
            shape("Last"),
            gap=10,
        ),
        fields={"title": "", "price": "", "photo": ""},
    )
    assert boxes(document)["Last"] == [(10, 20, 40, 20)]
    assert set(boxes(document)) == {"Stack", "Last"}
    assert set(boxes(document, {"title": "T", "price": "1", "photo": "wide"})) == {
        "Stack", "Title", "Line", "Photo", "Inner", "Price", "Last",
    }  # fmt: skip


def test_longer_text_pushes_what_follows() -> None:
    document = template(
        stack(text("Title", "{{ title }}", max_lines=4), shape("Next"), width=120, height=280), fields={"title": "One"}
    )
    short, long = boxes(document), boxes(document, {"title": "One two three four five six seven"})
    assert long["Title"][0][3] > short["Title"][0][3]
    assert long["Next"][0][1] - short["Next"][0][1] == long["Title"][0][3] - short["Title"][0][3]


def test_image_gives_way_to_text_and_keeps_its_minimum() -> None:
    image = {"type": "image", "name": "Photo", "source": "wide", "sizing": {**FILL, "min_height": 60}}
    document = template(
        stack(image, text("Title", "{{ title }}", max_lines=9, min_size=6), height=140), fields={"title": "One"}
    )
    long = "word " * 60
    assert boxes(document)["Photo"][0][3] == 140 - boxes(document)["Title"][0][3]
    assert boxes(document, {"title": long})["Photo"][0][3] == 60
    assert boxes(document, {"title": long})["Title"][0][3] == 80


def test_layers_with_a_higher_number_shrink_first() -> None:
    sizing = {"width": "fill", "height": "hug"}
    document = template(
        stack(
            text("First", "a\nb\nc", size=30, min_size=10, max_lines=3, sizing={**sizing, "shrink": 1}),
            text("Second", "a\nb\nc", size=30, min_size=10, max_lines=3, sizing={**sizing, "shrink": 2}),
            height=150,
        )
    )
    found = boxes(document)
    assert found["First"][0][3] == 108
    assert found["Second"][0][3] == 42


def test_stack_without_enough_room_is_a_finding() -> None:
    document = template(stack(shape("A", 40, 90), shape("B", 40, 90)))
    plan = Engine().plan(document)
    (finding,) = plan.lint({}, {})
    assert (finding.code, finding.layer) == (FindingCode.OVERFLOW, "Stack")
    assert finding.message == "does not fit: its layers need 80 pixels more than it has"
    assert plan.compose({}, {}).findings == (finding,)


def test_row_wraps() -> None:
    document = template(stack(*[shape(name, 90) for name in "ABC"], direction="row", wrap=True, gap=10))
    assert [boxes(document)[name][0][:2] for name in "ABC"] == [(10, 20), (110, 20), (10, 50)]


def test_baselines_of_a_row_are_equal() -> None:
    document = template(
        stack(text("Price", "19", size=60), text("Cents", "99", size=20), direction="row", align="baseline")
    )
    (stacked,) = place(document)
    baselines = [child.layer.top + child.text.baseline for child in stacked.children if child.text is not None]
    assert len(baselines) == 2
    assert baselines[0] == baselines[1]


def test_image_hugs_its_aspect_ratio() -> None:
    image = {"type": "image", "name": "Photo", "source": "wide", "sizing": {"width": "fill", "height": "hug"}}
    assert boxes(template(stack(image, height=200)))["Photo"] == [(10, 20, 200, 100)]


def test_stack_is_repeated_for_each_entry_of_a_list() -> None:
    document = template(
        stack(text("Entry", "{{ index }}. {{ item }}"), repeat={"field": "features", "limit": 3}),
        fields={"features": "Oak|Dimmable|LED|Warranty"},
    )
    (stacked,) = place(document)
    assert [child.planned.content(child.values) for child in stacked.children] == ["1. Oak", "2. Dimmable", "3. LED"]
    plan = Engine().plan(document)
    assert plan.used_fields == {"features"}


def test_entries_have_the_format_of_their_list() -> None:
    stacked = stack(text("Entry", "{{ item | currency('', 'de') }}"), repeat={"field": "prices"})
    plan = Engine().plan(template(stacked, fields={"prices": ""}))
    values = plan.fill_values({"prices": with_format("1.299|3", ValueFormat(locale="de", currency="EUR"))})
    assert plan.compose(values, {}).findings == ()
    values = plan.fill_values({"prices": "5|3"}, Output(output_currency="EUR"))
    assert plan.compose(values, {}).findings == ()


def test_repeated_photos_are_loaded() -> None:
    photos = stack(
        {"type": "image", "name": "Photo", "source": "{{ item }}", "width": 20, "height": 20},
        repeat={"field": "photos", "limit": 5},
    )
    plan = Engine().plan(template(photos, fields={"photos": ""}))
    loaded: list[str] = []

    def load(reference: str) -> Source:
        loaded.append(reference)
        return photo(10, 10)

    plan.load_sources({"photos": "https://a.example/1.jpg, https://a.example/2.jpg"}, load)
    assert loaded == ["https://a.example/1.jpg", "https://a.example/2.jpg"]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("Oak|LED", ["Oak", "LED"]),
        ("Oak; LED ;", ["Oak", "LED"]),
        ("Oak\nLED; dimmable", ["Oak", "LED; dimmable"]),
        ('["Oak", 5, "a|b"]', ["Oak", "5", "a|b"]),
        ("https://a.example/1.jpg,https://a.example/2.jpg", ["https://a.example/1.jpg", "https://a.example/2.jpg"]),
        ("", []),
        ("[" * 3000, ["[" * 3000]),
        ("|".join("x" * 80), ["x"] * 50),
        (r'["\ud800", "\ud83d\ude00"]', ["\ufffd", "😀"]),
    ],
)
def test_entries_of_a_list(text: str, entries: list[str]) -> None:
    assert split_list(text) == entries


def test_group_has_coordinates_of_its_own_and_follows_pins() -> None:
    group = {
        "type": "group", "name": "Group", "x": 100, "y": 50, "width": 200, "height": 100,
        "pins": {"horizontal": "both", "vertical": "bottom"},
        "layers": [
            shape("Left", x=10, y=10),
            shape("Right", x=150, y=10, pins={"horizontal": "right"}),
            shape("Wide", x=20, y=40, width=160, pins={"horizontal": "both", "vertical": "center"}),
            shape("Scaled", x=50, y=50, width=100, height=50, pins={"horizontal": "scale", "vertical": "scale"}),
        ],
    }  # fmt: skip
    document = template(group, sizes=[{"name": "wide", "width": 600, "height": 300}])
    found = boxes(document)
    assert found["Left"] == [(110, 60, 40, 20)]
    wide = boxes(document.in_size("wide"))
    assert wide["Group"] == [(100, 50, 400, 100)]
    assert wide["Left"] == [(110, 60, 40, 20)]
    assert wide["Right"] == [(450, 60, 40, 20)]
    assert wide["Wide"] == [(120, 90, 360, 20)]
    assert wide["Scaled"] == [(200, 100, 200, 50)]


def test_scaled_text_scales_its_font() -> None:
    pins = {"horizontal": "scale", "vertical": "scale"}
    title = {"type": "text", "name": "Title", "text": "Hi", "size": 40, "min_size": 10, "width": 100, "height": 50}
    title |= {"fit": "grow", "max_size": 60}
    document = template({**title, "pins": pins}, sizes=[{"name": "double", "width": 800, "height": 600}])
    layer = document.in_size("double").layers[0].model_dump()
    assert (layer["size"], layer["min_size"], layer["max_size"], layer["width"]) == (80, 20, 120, 200)


def test_scaled_text_has_the_font_of_its_group_in_each_row() -> None:
    sizing = {"width": "hug", "height": "hug", "max_width": 50}
    group = {
        "type": "group", "name": "Group", "width": 100, "height": 50, "sizing": {"width": "fill", "height": "hug"},
        "layers": [text("Scaled", "Hi", pins={"horizontal": "scale"}, sizing=sizing)],
    }  # fmt: skip
    document = template(stack(text("Title", "{{ title }}", size=10), group, direction="row"), fields={"title": ""})

    def render(*titles: str) -> bytes:
        plan = Engine().plan(document)
        return [plan.compose(plan.fill_values({"title": title}), {}).pixels.tobytes() for title in titles][-1]

    assert render("A", "A longer title") == render("A longer title")


def test_override_of_a_layer_in_a_group_wins_over_its_pins() -> None:
    group = {
        "type": "group", "name": "Group", "width": 400, "height": 300, "pins": {"horizontal": "both"},
        "layers": [shape("A", pins={"horizontal": "right"})],
    }  # fmt: skip
    size = {"name": "wide", "width": 600, "height": 300, "overrides": {"A": {"x": 7}}}
    assert boxes(template(group, sizes=[size]).in_size("wide"))["A"] == [(7, 0, 40, 20)]


def test_group_is_clipped_rotated_and_faded_together() -> None:
    def pixels(**more: Any) -> Any:
        group = {
            "type": "group", "name": "Group", "x": 100, "y": 100, "width": 100, "height": 100,
            "layers": [shape("A", 200, 100, fill="#ff0000"), shape("B", 200, 100, fill="#0000ff")], **more,
        }  # fmt: skip
        return Engine().plan(template(group)).compose({}, {}).pixels

    assert pixels()[150, 250, :3].tolist() == [0, 0, 255]
    assert pixels(clip=True)[150, 250, :3].tolist() == [255, 255, 255]
    # One layer after the other would let the red one shine through.
    assert pixels(opacity=0.5)[150, 150, :3].tolist() == [127, 127, 255]
    rounded = pixels(clip=True, radius=50)
    assert rounded[102, 102, :3].tolist() == [255, 255, 255]
    assert rounded[150, 150, :3].tolist() == [0, 0, 255]
    turned = pixels(rotation=90)
    assert turned[250, 150, :3].tolist() == [0, 0, 255]
    assert turned[150, 250, :3].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (shape("A", sizing=FILL), "The layer “A” has the sizing fill, which needs a stack around it"),
        ({"type": "shape", "name": "A", "width": 5}, "Enter the height, or a sizing with the height hug or fill"),
        (stack(shape("A"), shape("A")), "Two layers have the same name: A"),
        (stack(text("A", "{{ nope }}")), "The layer “A” uses the unknown field nope"),
        (stack(text("A", "{{ item }}")), "The layer “A” uses “item”, which only"),
        (stack(shape("A"), wrap=True), "Only a row can wrap or be aligned by the baseline"),
        (stack(*[shape(f"A{number}") for number in range(100)]), "The template has 101 layers"),
        (stack(shape("A", sizing={**HUG, "min_width": 9, "max_width": 8})), "min_width is larger than max_width"),
        (
            stack(*[shape(f"A{number}") for number in range(20)], repeat={"field": "list", "limit": 20}),
            "The repeated stacks show up to 401 layers; the limit is 300",
        ),
    ],
)
def test_invalid_documents_say_what_is_wrong(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        template(layer, fields={"list": ""})


def nested_stacks(depth: int) -> dict[str, Any]:
    layer: dict[str, Any] = shape("A")
    for number in range(depth):
        layer = stack(layer, name=f"S{number}")
    return layer


def test_stacks_are_nested_six_deep() -> None:
    assert len(list(walk_layers(template(nested_stacks(6)).layers))) == 7


@pytest.mark.parametrize("depth", [7, 5000])
def test_deep_nesting_is_refused(depth: int) -> None:
    layer = nested_stacks(depth)
    with pytest.raises(ValidationError, match="Groups and stacks are nested more than 6 deep"):
        template(layer)


sizings = st.fixed_dictionaries(
    {"width": st.sampled_from(["fixed", "hug", "fill"]), "height": st.sampled_from(["fixed", "hug", "fill"])},
    optional={"min_width": st.integers(1, 30), "min_height": st.integers(1, 30), "shrink": st.integers(0, 3)},
)
children = st.lists(st.tuples(st.booleans(), st.integers(1, 90), st.integers(1, 60), sizings), min_size=1, max_size=6)
stacks = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(["row", "column"]),
        "gap": st.integers(0, 20),
        "padding": st.integers(0, 20),
        "align": st.sampled_from(["start", "center", "end", "stretch"]),
        "justify": st.sampled_from(["start", "center", "end", "space-between", "space-evenly"]),
        "sizing": st.fixed_dictionaries(
            {"width": st.sampled_from(["fixed", "hug"]), "height": st.sampled_from(["fixed", "hug"])}
        ),
    }
)


@given(children, stacks)
def test_layers_of_a_stack_keep_their_order_and_do_not_overlap(
    layers: list[tuple[bool, int, int, dict[str, Any]]], options: dict[str, Any]
) -> None:
    parts = [
        {**text(f"L{at}", "Two words"), "width": width, "height": height, "sizing": sizing, "min_size": 6}
        if is_text
        else shape(f"L{at}", width, height, sizing=sizing)
        for at, (is_text, width, height, sizing) in enumerate(layers)
    ]
    document = template(stack(*parts, **options))
    first = place(document)
    assert boxes(document) == boxes(document)
    side, start = ("width", "left") if options["direction"] == "row" else ("height", "top")
    placed = [child.layer for child in first[0].children]
    assert [layer.name for layer in placed] == [f"L{at}" for at in range(len(layers))]
    for one, other in pairwise(placed):
        assert getattr(one, start) + getattr(one, side) + options["gap"] <= getattr(other, start)
    own = first[0].layer
    used = sum(getattr(layer, side) for layer in placed) + options["gap"] * (len(placed) - 1)
    if not first[0].overflow:
        assert used + 2 * options["padding"] <= getattr(own, side)


def test_group_is_rendered_as_far_as_it_can_be_seen() -> None:
    """Layers that are far apart would need gigabytes if they were merged as a whole."""
    far = [
        shape(f"S{at}", 4096, 4096, x=x, y=y, fill="#ff0000")
        for at, (x, y) in enumerate([(-4096, -4096), (4096, 4096), (0, -4096)])
    ]
    inner = {"type": "group", "name": "Inner", "width": 100, "height": 100, "rotation": 45, "layers": far}
    outer = {"type": "group", "name": "Outer", "width": 100, "height": 100, "rotation": 45, "opacity": 0.5}
    pixels = Engine().plan(template({**outer, "layers": [inner]})).compose({}, {}).pixels
    # Twice 45 degrees around the same center: what was above the group is on its right.
    assert pixels[50, 300, :3].tolist() == [255, 127, 127]
    assert pixels[250, 50, :3].tolist() == [255, 255, 255]


def test_plan_places_the_layers_that_a_row_shows() -> None:
    shown = shape("A", x=5, y=6, show_if={"field": "a", "is": "filled"})
    plan = Engine().plan(template(shown, stack(text("B", "{{ a }}"), padding=4), fields={"a": ""}), scale=2)
    assert [each.layer.name for each in plan.place(plan.fill_values({}), {})] == ["Stack"]
    found = [each for top in plan.place(plan.fill_values({"a": "x"}), {}) for each in top.walk()]
    assert [(each.layer.name, each.layer.left, each.layer.top) for each in found] == [
        ("A", 10, 12),
        ("Stack", 20, 40),
        ("B", 28, 48),
    ]


def test_condition_of_a_repeated_stack_cannot_use_its_entry() -> None:
    own = stack(text("A", "{{ item }}"), repeat={"field": "a"}, show_if={"field": "item", "is": "filled"})
    with pytest.raises(ValidationError, match="“Stack” uses “item”, which only"):
        template(own, fields={"a": "x|y"})


def test_size_turns_a_stack() -> None:
    size = {"name": "tall", "width": 200, "height": 600, "overrides": {"Stack": {"direction": "column"}}}
    document = template(stack(shape("A"), shape("B"), direction="row"), sizes=[size])
    assert [boxes(document)[name][0][:2] for name in "AB"] == [(10, 20), (50, 20)]
    assert [boxes(document.in_size("tall"))[name][0][:2] for name in "AB"] == [(10, 20), (10, 40)]
    wrong = {**size, "overrides": {"T": {"direction": "column"}}}
    with pytest.raises(ValidationError, match="The size tall has a direction for T, which is no stack"):
        template(text("T", "Hi"), sizes=[wrong])
