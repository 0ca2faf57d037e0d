"""Images against the rules of platforms."""

from typing import Any

import pytest

from cwz_web.channels.checks import DesignImage, PolicyCode, check_images, describe_images, find_carried, limit_outputs
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import Carried
from cwz_web.channels.presets import PRESETS
from cwz_web.i18n import translate, use_locale
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from tests.unit.channels.feeds import columns, image

PHOTO = {"name": "Photo", "type": "image", "source": "{{ image }}", "width": 1000, "height": 1000}


def document(*layers: dict[str, Any], **changes: Any) -> ImageTemplate:
    types = {"image": "image", "title": "text", "now": "money"}
    fields = [{"name": name, "label": name, "type": each} for name, each in types.items()]
    canvas = {"width": 1000, "height": 1000}
    return ImageTemplate.model_validate({"canvas": canvas, "fields": fields, "layers": [PHOTO, *layers]} | changes)


def layer(kind: str = "text", **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"name": values.get("name", "Layer"), "type": kind, "width": 200, "height": 100}
    if kind == "text":
        base |= {"text": "Sale", "size": 20}
    if kind == "image":
        base |= {"source": f"upload:{'a' * 64}"}
    return base | values


@pytest.mark.parametrize(
    ("layers", "carried"),
    [
        ([], set()),
        ([layer()], {Carried.TEXT}),
        ([layer(text="{{ title }}")], {Carried.TEXT}),
        ([layer(text="only {{ now }}")], {Carried.PRICE}),
        ([layer(text='{{ title | currency("EUR") }}')], {Carried.PRICE}),
        ([layer(hidden=True)], set()),
        ([layer(opacity=0.3)], {Carried.WATERMARK}),
        ([layer("image")], {Carried.LOGO}),
        ([layer("image", width=1000, height=1000)], {Carried.FRAME}),
        ([layer("image", source="{{ image }}")], set()),
        ([layer("group", layers=[layer(name="Inner", text="{{ now }}")])], {Carried.PRICE}),
    ],
)
def test_what_a_design_shows_is_read_from_its_template(layers: list[dict[str, Any]], carried: set[Carried]) -> None:
    assert find_carried(document(*layers).visible()) == carried


def test_what_is_refused_is_named_in_the_language_of_the_reader() -> None:
    carried = frozenset([Carried.PRICE, Carried.FRAME])
    (finding,) = check_images(PRESETS["google"], [image("image_link")], [design(carried=carried)])
    with use_locale("de"):
        assert "„image_link“ nicht: Rahmen, Preis." in translate(finding.message)


def design(**values: Any) -> DesignImage:
    return DesignImage(
        **{"design": 1, "name": "Sale", "output": 0, "width": 1500, "height": 1500, "format": Format.JPEG} | values
    )


def codes(preset: str, field: str, **values: Any) -> list[PolicyCode]:
    return [each.code for each in check_images(PRESETS[preset], [image(field)], [design(**values)])]


def test_sizes_ratios_and_formats() -> None:
    assert codes("google", "image_link") == []
    assert codes("google", "image_link", width=400) == [PolicyCode.TOO_SMALL]
    assert codes("google", "image_link", width=900) == [PolicyCode.SMALL]
    assert codes("google", "image_link", width=9000, height=9000) == [PolicyCode.TOO_LARGE]
    assert codes("google", "image_link", format=Format.AVIF) == [PolicyCode.FORMAT]
    assert codes("meta", "image[2].url", width=1080, height=1920) == []
    assert codes("meta", "image[2].url", width=1080, height=1350)[-1] == PolicyCode.RATIO
    assert not PolicyCode.RATIO.is_refused
    assert check_images(PRESETS["google"], [image("image_link", 1)], [design(width=1)]) == []


def test_overlay_on_the_main_image_is_refused_with_a_remedy() -> None:
    carried = frozenset([Carried.TEXT, Carried.LOGO])
    (finding,) = check_images(PRESETS["google"], [image("image_link")], [design(carried=carried)])
    assert (finding.code, finding.code.is_refused) == (PolicyCode.OVERLAY, True)
    assert finding.remedy == (
        FieldMapping(name="image_link", source=FieldSource.PHOTO),
        image("lifestyle_image_link"),
    )
    assert "“image_link”: Logo, Text." in finding.message
    (finding,) = check_images(PRESETS["google"], [image("image_link")], [design(carried=frozenset([Carried.PRICE]))])
    assert finding.remedy == (FieldMapping(name="image_link", source=FieldSource.PHOTO),)
    (finding,) = check_images(
        PRESETS["google"], [image("lifestyle_image_link")], [design(carried=frozenset([Carried.PRICE]))]
    )
    assert finding.remedy == ()
    assert codes("meta", "image_link", carried=carried) == []


def test_texts_in_the_covered_areas_of_a_story() -> None:
    story = document(
        layer(name="Top", y=50),
        layer("group", name="Group", y=800, width=500, height=400, layers=[layer(name="Middle", y=100)]),
        layer(name="Bottom", y=1920, anchor="bottom-left"),
        canvas={"width": 1080, "height": 1920},
    )
    images = describe_images(story, [Output(), Output(size="wide")], design=1, name="Sale")
    assert [(each.output, each.width, each.height) for each in images] == [(0, 1080, 1920)]
    findings = check_images(PRESETS["meta"], [image("image[2].url")], images)
    assert [each.code for each in findings] == [PolicyCode.SAFE_AREA, PolicyCode.SAFE_AREA]
    assert all(name in each.message for name, each in zip(("Top", "Bottom"), findings, strict=True))
    logo = document(
        layer("image", name="Logo", y=100),
        layer("image", name="Frame", width=1080, height=1920),
        layer("stack", name="Stack", y=1700, layers=[layer("image", name="Inner")]),
        canvas={"width": 1080, "height": 1920},
    )
    findings = check_images(
        PRESETS["meta"], [image("image[2].url")], describe_images(logo, [Output()], design=1, name="Sale")
    )
    assert [each.message.split("“")[3].split("”")[0] for each in findings] == ["Logo", "Stack"]
    corrected = describe_images(story, [Output()], design=1, name="Sale", corrected=frozenset([Carried.LOGO]))
    assert corrected[0].carried == {Carried.LOGO}


@pytest.mark.parametrize(
    ("background", "layers", "is_colored"),
    [
        ("#ffffff", [], False),
        ("#fefefe", [], False),
        ("#eeeeee", [], True),
        ("#00000000", [], False),
        (None, [], False),
        ({"start": "#ffffff", "end": "#000000"}, [], True),
        ("#eeeeee", [PHOTO], False),
        ("#eeeeee", [PHOTO | {"fit": "contain"}], True),
        ("#eeeeee", [PHOTO | {"fit": "contain", "background": "#ffffff"}], False),
        ("#eeeeee", [PHOTO | {"width": 500}], True),
        ("#eeeeee", [layer("shape", width=1000, height=950, fill="#ffffff")], False),
        ("#ffffff", [layer("shape", width=1000, height=1000, fill="#ff0000")], True),
        ("#ffffff", [layer("shape", fill="#ff0000")], False),
    ],
)
def test_background_of_a_main_image_is_white(background: Any, layers: list[dict[str, Any]], is_colored: bool) -> None:
    design = document(layers=layers, canvas={"width": 1000, "height": 1000, "background": background})
    (described,) = describe_images(design, [Output(scale=2)], design=1, name="Sale")
    assert described.has_colored_background == is_colored
    findings = check_images(PRESETS["google"], [image("image_link")], [described])
    assert [each.code for each in findings] == [PolicyCode.BACKGROUND] * is_colored
    assert all(not each.code.is_refused and each.remedy[0].source == FieldSource.PHOTO for each in findings)
    fields = [image("additional_image_link"), image("lifestyle_image_link")]
    assert check_images(PRESETS["google"], fields, [described]) == []


def test_outputs_are_limited_to_what_the_fields_take() -> None:
    outputs = [Output(), Output(max_bytes=500_000), Output(size="story"), Output(size="wide")]
    fields = [image("image_link", 0), image("image[0].url", 1), image("image[2].url", 2), *columns("link")]
    limited = limit_outputs(PRESETS["meta"], fields, outputs)
    assert [output.max_bytes for output in limited] == [8_000_000, 500_000, 8_000_000, None]
    assert limit_outputs(PRESETS["meta"], fields, limited) == limited
    assert limit_outputs(PRESETS["generic"], fields, outputs) == outputs
    assert limit_outputs(PRESETS["meta"], [image("image_link", 9)], outputs) == outputs
