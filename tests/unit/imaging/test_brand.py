"""Tests of references to the brand: what a document can refer to, what is rendered, and changes of the brand."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.brand import Brand, Entry, fill_styles
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.findings import FindingCode

LOGO, OTHER_LOGO = "upload:" + "a" * 64, "upload:" + "b" * 64
HEADING = {"font": "brand:heading", "weight": 700, "size": 40, "color": "brand:primary", "line_height": 1.1}
BRAND: dict[str, Any] = {
    "colors": {"primary": "#ff5500", "ink": "#101418"},
    "fonts": {"heading": "Inter"},
    "logos": {"logo": LOGO},
    "styles": {"heading": HEADING},
}
TITLE: dict[str, Any] = {
    "type": "text",
    "name": "Title",
    "text": "Sale",
    "style": "brand:heading",
    "width": 200,
    "height": 80,
}


def box(**values: Any) -> dict[str, Any]:
    return {"type": "shape", "name": "Box", "width": 40, "height": 40, **values}


def text(**values: Any) -> dict[str, Any]:
    return {"type": "text", "name": "Text", "text": "brand:primary", "size": 20, "width": 90, "height": 40, **values}


def logo(**values: Any) -> dict[str, Any]:
    return {"type": "image", "name": "Logo", "source": "brand:logo", "width": 40, "height": 40, **values}


def template(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    document = {"canvas": {"width": 100, "height": 100}, "layers": list(layers), "brand": BRAND} | more
    return ImageTemplate.model_validate(document)


def error_of(*layers: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        template(*layers, **more)
    return str(caught.value)


def only(document: ImageTemplate) -> dict[str, Any]:
    layer: dict[str, Any] = document.canonical()["layers"][0]
    return layer


class TestReferences:
    @pytest.mark.parametrize(
        "values",
        [
            {"fill": "brand:ink"},
            {"fill": {"start": "brand:ink", "end": "#ffffff", "stops": [{"offset": 0.5, "color": "brand:primary"}]}},
            {"fill": "#000000", "border": {"color": "brand:ink", "width": 2}},
            {"fill": "#000000", "shadow": [{"color": "brand:ink"}, {"color": "brand:primary"}]},
            {"fill": {"value": "color", "default": "brand:ink"}},
        ],
    )
    def test_colors_are_rendered_as_their_values(self, values: dict[str, Any]) -> None:
        fields = [{"name": "color", "label": "Color", "type": "color"}]
        literal = json.loads(json.dumps(values).replace("brand:ink", "#101418").replace("brand:primary", "#ff5500"))
        named, plain = template(box(**values), fields=fields), template(box(**literal), fields=fields, brand={})
        assert named.resolved().digest == plain.digest
        assert "brand:" in json.dumps(named.canonical()["layers"])

    def test_all_kinds_are_resolved_in_any_layer_and_size_but_not_in_texts(self) -> None:
        group = {
            "type": "group",
            "name": "Group",
            "width": 90,
            "height": 90,
            "layers": [
                text(font="brand:heading", stroke={"color": "brand:ink", "width": 1}),
                logo(fallback="brand:logo"),
            ],
        }
        sizes = [{"name": "wide", "width": 200, "height": 100, "background": "brand:primary"}]
        resolved = template(group, sizes=sizes).resolved().canonical()
        words, image = resolved["layers"][0]["layers"]
        assert (words["font"], words["stroke"]["color"], words["text"]) == ("Inter", "#101418", "brand:primary")
        assert (image["source"], image["fallback"]) == (LOGO, LOGO)
        assert resolved["sizes"][0]["background"] == "#ff5500"
        assert "brand" not in resolved

    def test_spans_can_refer_to_the_brand(self) -> None:
        spans = [{"text": "Sale", "font": "brand:heading", "color": "brand:primary", "highlight": "brand:ink"}]
        span = only(template(text(text=None, spans=spans)).resolved())["spans"][0]
        assert (span["font"], span["color"], span["highlight"]) == ("Inter", "#ff5500", "#101418")

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (box(fill="brand:accent"), "color “brand:accent”, which the brand does not have. It has: ink, primary"),
            (box(fill="brand:heading"), "color “brand:heading”, which the brand does not have"),
            (text(font="brand:body"), "font “brand:body”, which the brand does not have. It has: heading"),
            (logo(source="brand:mark"), "logo “brand:mark”, which the brand does not have. It has: logo"),
            (text(style="brand:body"), "style “brand:body”, which the brand does not have. It has: heading"),
            (text(style="heading"), "Write the text style as brand:name"),
            (logo(source="brand:{{ name }}"), "Write a reference to the brand as brand:name"),
            (box(fill="brand:Ink"), "should match pattern"),
            (box(fill="brand:"), "should match pattern"),
            (text(font="brand:../x"), "Write a reference to the brand as brand:name"),
        ],
    )
    def test_unknown_and_malformed_references_are_refused_with_their_place(
        self, layer: dict[str, Any], message: str
    ) -> None:
        error = error_of(layer, fields=[{"name": "name", "label": "Name"}])
        assert message in error
        assert "layers.0" in error

    def test_a_document_without_a_brand_has_no_references(self) -> None:
        assert "color “brand:ink”, which the brand does not have. It has: none" in error_of(
            box(fill="brand:ink"), brand={}
        )

    @pytest.mark.parametrize(
        ("brand", "message"),
        [
            ({"colors": {"ink": "brand:ink"}}, "should match pattern"),
            ({"colors": {"Ink Color": "#000000"}}, "should match pattern"),
            ({"colors": {"ink": "url(x)"}}, "should match pattern"),
            ({"colors": {f"c{number}": "#000000" for number in range(101)}}, "at most 100"),
            ({"fonts": {"heading": "brand:heading"}}, "Unknown font"),
            ({"logos": {"logo": "https://example.org/logo.png"}}, "should match pattern"),
            ({"styles": {"heading": {"color": "brand:gone"}}}, "color “brand:gone”, which the brand does not have"),
            ({"voices": {}}, "Extra inputs are not permitted"),
            (["colors"], "valid dictionary"),
        ],
    )
    def test_invalid_brands_are_refused(self, brand: Any, message: str) -> None:
        assert message in error_of(box(fill="#000000"), brand=brand)

    def test_a_message_lists_only_names_that_a_brand_can_have(self) -> None:
        colors = {f"c{number}": "#000000" for number in range(10_000)} | {"x" * 10_000: "#000000"}
        with pytest.raises(ValidationError) as caught:
            template(box(fill="brand:ink"), brand={"colors": {"y" * 10_000: "#000000"} | colors})
        assert max(len(error["msg"]) for error in caught.value.errors()) < 1000

    def test_the_uses_are_those_of_layers(self) -> None:
        assert template(TITLE, box(fill="brand:ink")).brand_uses() == {
            ("style", "heading"),
            ("color", "primary"),
            ("font", "heading"),
            ("color", "ink"),
        }
        assert template(text(color="#000000")).brand_uses() == frozenset()


class TestRendering:
    def test_an_image_is_that_of_the_values(self) -> None:
        engine = Engine()
        named = template(box(fill="brand:primary", width=100, height=100))
        plain = template(box(fill="#ff5500", width=100, height=100), brand={})
        images = []
        for document in (named, plain):
            plan = engine.plan(document)
            values = plan.fill_values({}, Output())
            images.append((plan.digest, plan.compose(values, {}).pixels.tobytes()))
        assert images[0] == images[1]

    def test_logos_are_loaded_by_their_uploads(self) -> None:
        loaded: list[str] = []

        def load(reference: str) -> Any:
            loaded.append(reference)
            raise SourceMissingError("gone")

        plan = Engine().plan(template(logo()))
        plan.load_sources(plan.fill_values({}, Output()), load)
        assert loaded == [LOGO]

    def test_a_row_cannot_refer_to_the_brand(self) -> None:
        fields = [{"name": "color", "label": "Color", "type": "color"}, {"name": "any", "label": "Any"}]
        bound = {"value": "any", "default": "brand:primary"}
        plan = Engine().plan(template(box(fill=bound, width=100, height=100), fields=fields))
        composed = plan.compose(plan.fill_values({"any": "brand:ink"}, Output()), {})
        assert tuple(composed.pixels[50, 50, :3]) == (255, 85, 0)
        (finding,) = (each for each in composed.findings if each.code == FindingCode.VALUE_UNCLEAR)
        assert "Only the default can refer to the brand" in finding.message


class TestStyles:
    def test_a_layer_has_the_values_of_its_style_where_it_has_none(self) -> None:
        layer = only(template({**TITLE, "weight": 400}))
        assert {key: layer[key] for key in HEADING} == {**HEADING, "weight": 400}

    @pytest.mark.parametrize(
        "hidden", [{"type": "group", "layers": [TITLE]}, {"spans": [{"text": "x"}]}, {"color": {"value": "name"}}]
    )
    def test_a_style_brings_nothing_that_a_style_cannot_have(self, hidden: dict[str, Any]) -> None:
        """Such as expressions, which are counted before they are compiled."""
        layers, brand = [{"name": "Title", "style": "brand:a"}], {"styles": {"a": {"size": 9, **hidden}}}
        document = {"layers": layers, "brand": brand}
        assert fill_styles(document)["layers"] == [{"name": "Title", "style": "brand:a", "size": 9}]

    def test_an_export_keeps_a_value_that_is_a_default(self) -> None:
        exported = template({**TITLE, "weight": 400}).to_json()
        assert only(ImageTemplate.model_validate_json(exported))["weight"] == 400

    def test_a_change_keeps_what_a_layer_has_of_its_own(self) -> None:
        changed = Brand.model_validate(BRAND | {"styles": {"heading": {**HEADING, "weight": 900, "size": 64}}})
        layer = only(template({**TITLE, "size": 30}).with_brand(changed))
        assert (layer["weight"], layer["size"]) == (900, 30)

    def test_a_change_brings_the_references_of_the_style(self) -> None:
        changed = {"colors": {"accent": "#00aa00"}, "styles": {"heading": {**HEADING, "color": "brand:accent"}}}
        document = template(TITLE).with_brand(Brand.model_validate(BRAND | changed))
        assert only(document)["color"] == "brand:accent"
        assert document.brand.colors == {"accent": "#00aa00"}

    def test_a_change_that_a_layer_does_not_fit_is_refused(self) -> None:
        layer = {**TITLE, "fit": "grow", "max_size": 50}
        larger = Brand.model_validate(BRAND | {"styles": {"heading": {**HEADING, "size": 60}}})
        with pytest.raises(ValidationError, match="maximum size is smaller"):
            template(layer).with_brand(larger)


class TestChanges:
    def test_values_change_and_unused_entries_are_dropped(self) -> None:
        changed = Brand.model_validate({"colors": {"ink": "#222222", "new": "#333333"}})
        assert template(box(fill="brand:ink")).with_brand(changed).brand == Brand(colors={"ink": "#222222"})

    def test_a_deleted_entry_stays_with_its_value(self) -> None:
        document = template(box(fill="brand:ink"), TITLE)
        kept = document.with_brand(Brand())
        assert kept.brand == Brand.model_validate(BRAND | {"logos": {}})
        assert kept.resolved() == document.resolved()

    def test_a_renamed_entry_is_renamed_wherever_it_is_used(self) -> None:
        changed = {
            "colors": {"brand-orange": "#ff6600", "ink": "#101418"},
            "styles": {"heading": {**HEADING, "color": "brand:brand-orange"}},
        }
        brand = Brand.model_validate(BRAND | changed)
        document = template(TITLE, box(fill="brand:primary")).with_brand(brand, {("color", "primary"): "brand-orange"})
        assert [each["color"] for each in document.canonical()["layers"][:1]] == ["brand:brand-orange"]
        assert document.canonical()["layers"][1]["fill"] == "brand:brand-orange"
        assert document.brand.colors == {"brand-orange": "#ff6600"}

    def test_two_entries_can_swap_their_names(self) -> None:
        swapped = Brand.model_validate(BRAND | {"colors": {"ink": "#ff5500", "primary": "#101418"}})
        renamed: dict[Entry, str] = {("color", "ink"): "primary", ("color", "primary"): "ink"}
        document = template(box(fill="brand:ink"), TITLE)
        assert only(document.with_brand(swapped, renamed))["fill"] == "brand:primary"
        assert only(document.with_brand(swapped, renamed).resolved())["fill"] == "#101418"

    def test_a_document_without_a_brand_does_not_change(self) -> None:
        document = template(box(fill="#ff5500"), brand={})
        assert document.with_brand(Brand.model_validate(BRAND)) is document
        assert document.resolved() is document
