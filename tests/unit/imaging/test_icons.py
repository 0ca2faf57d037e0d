from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.findings import FindingCode
from cwz_web.imaging.icons import check_icon, find_icons, install_icons, read_icon
from cwz_web.imaging.layers import ShapeLayer
from cwz_web.imaging.shapes import render_shape
from tests.conftest import ROOT

ICON = {"type": "shape", "name": "i", "shape": "icon", "icon": "shopping-cart", "fill": "#cc0000"}
BOX = {"x": 0, "y": 0, "width": 96, "height": 48}


def icon(**values: Any) -> ShapeLayer:
    return ShapeLayer.model_validate(ICON | BOX | values)


def template(**values: Any) -> ImageTemplate:
    fields = [{"name": "name", "label": "Name"}, {"name": "brand", "label": "Brand", "type": "color"}]
    layers = [ICON | BOX | values]
    return ImageTemplate.model_validate({"canvas": {"width": 96, "height": 48}, "fields": fields, "layers": layers})


def compose(document: ImageTemplate, **data: str) -> tuple[Any, list[str]]:
    plan = Engine().plan(document)
    composition = plan.compose(plan.fill_values(data), {})
    assert {finding.code for finding in composition.findings} <= {FindingCode.VALUE_UNCLEAR}
    return composition.pixels[..., :3], [finding.message for finding in composition.findings]


def test_icon_is_in_the_middle_of_its_box_in_its_color() -> None:
    patch = render_shape(icon(x=10, y=20))
    assert (patch.x, patch.y, patch.color) == (10, 20, (204, 0, 0))
    mask = patch.mask()
    columns = np.flatnonzero(mask.any(axis=0))
    # Twice the size of the grid, whose cart is from 1 to 23.
    assert (columns[0], columns[-1]) == (24 + 2, 96 - 24 - 3)
    assert mask.max() == 255


def test_lines_are_a_twelfth_of_the_icon_unless_they_have_a_width() -> None:
    def width(**values: Any) -> int:
        mask = render_shape(icon(icon="minus", **values)).mask()
        return int(mask[:, 48].sum()) // 255

    assert width() == 4
    assert width(stroke_width=1) == 1
    assert width(stroke_width=10) == 10
    assert icon(stroke_width=3).scaled(2).stroke_width == 6


def test_icon_has_a_translucent_color_or_a_gradient() -> None:
    assert render_shape(icon(fill="#cc000080")).mask().max() == 128
    patch = render_shape(icon(icon="minus", fill={"start": "#ff0000", "end": "#0000ff", "angle": 0}))
    assert isinstance(patch.color, np.ndarray)
    assert patch.color[24, 0, 0] > 250
    assert patch.color[24, 95, 2] > 250
    assert patch.mask()[0].max() == 0


def test_name_and_color_come_from_the_data() -> None:
    bound = template(icon={"value": "name", "default": "truck"}, fill={"value": "brand", "default": "#cc0000"})
    star, none = compose(bound, name="star", brand="#cc0000"), compose(bound)
    np.testing.assert_array_equal(star[0], compose(template(icon="star"))[0])
    np.testing.assert_array_equal(none[0], compose(template(icon="truck"))[0])
    assert star[1] == none[1] == []
    pixels, [message] = compose(bound, name="shoping-cart")
    np.testing.assert_array_equal(pixels, none[0])
    assert "There is no icon “shoping-cart”. Did you mean shopping-cart" in message


def test_unknown_name_is_refused_with_near_names() -> None:
    with pytest.raises(ValidationError, match=r"There is no icon “shoping-cart”\. Did you mean shopping-cart or"):
        template(icon="shoping-cart")
    with pytest.raises(ValueError, match="Did you mean shopping-cart"):
        check_icon("Shopping_Cart")
    with pytest.raises(ValueError, match=r"The names are at https://lucide\.dev/icons"):
        check_icon("qqqqqq")
    with pytest.raises(ValidationError, match=r"There is no icon “\.\./package”"):
        template(icon="../package")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"icon": None}, "Enter an icon, such as shopping-cart"),
        ({"fill": None}, "Enter a fill, which is the color of the icon"),
        ({"border": {"color": "#000000", "width": 2}}, "An icon has no border. Use fill"),
    ],
)
def test_incomplete_icon_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        template(**changes)


def test_digest_of_an_image_depends_on_the_version_of_the_icons(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(document: ImageTemplate) -> str:
        return Engine().plan(document).image_digest({}, {}, Output())

    plain, with_icon = template(shape="ellipse", icon=None), template()
    before = digest(plain), digest(with_icon)
    monkeypatch.setattr("cwz_web.imaging.engine.icons_version", lambda: "lucide-static@999")
    assert digest(plain) == before[0]
    assert digest(with_icon) != before[1]


def test_every_icon_can_be_read_and_its_name_used() -> None:
    for file in sorted((ROOT / "node_modules" / "lucide-static" / "icons").glob("*.svg")):
        assert read_icon(file.stem)
        assert template(icon=file.stem)


def test_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="lucide-static is not installed"):
        install_icons(tmp_path)


def test_schema_describes_names() -> None:
    properties = ImageTemplate.model_json_schema()["$defs"]["ShapeLayer"]["properties"]
    described = properties["icon"]["anyOf"][0]["anyOf"][0]
    assert "lucide.dev" in described["description"]
    assert "shopping-cart" in described["examples"]


def test_icons_are_found_by_name_and_tag() -> None:
    assert find_icons("Truck", 60)[0] == "truck"
    assert "truck" in find_icons("delivery", 60)
    assert all("arrow" in name for name in find_icons("arrow right", 3))
    assert find_icons("no such icon at all", 60) == []


def test_icons_are_bounded() -> None:
    assert len(find_icons("a", 60)) == 60
    popular = find_icons("  ", 60)
    assert 20 < len(popular) <= 60
    assert [check_icon(name) for name in popular] == popular
