"""Layers that look different in the images of another market."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.line_breaking import SOFT_HYPHEN
from cwz_web.imaging.text_layers import TextLayer

BOX = {"x": 0, "y": 0, "width": 200, "height": 100}


def plan(layer: dict[str, Any]) -> Plan:
    canvas = {"width": 200, "height": 100}
    return Engine().plan(ImageTemplate.model_validate({"canvas": canvas, "layers": [BOX | layer]}))


def compose(plan: Plan, locale: str | None = None) -> Any:
    return plan.compose(plan.fill_values({}, Output(output_locale=locale)), {}).pixels


def digest(plan: Plan, locale: str | None = None) -> str:
    output = Output(output_locale=locale)
    return plan.image_digest(plan.fill_values({}, output), {}, output)


def places(plan: Plan, locale: str | None = None) -> list[tuple[str, int, int]]:
    [stack] = plan.place(plan.fill_values({}, Output(output_locale=locale)), {})
    return [(each.layer.name, each.layer.left, each.layer.top) for each in stack.walk()][1:]


def stack(**values: Any) -> dict[str, Any]:
    parts = [("a", 20, 10), ("b", 40, 20), ("c", 60, 30)]
    layers = [
        {"type": "shape", "name": name, "fill": "#ff0000", "width": width, "height": height}
        for name, width, height in parts
    ]
    defaults = {"type": "stack", "name": "s", "direction": "row", "gap": 10, "padding": 5, "layers": layers}
    return defaults | values


def test_row_is_mirrored_for_locales_that_are_written_from_right_to_left() -> None:
    mirrored = plan(stack(mirror="auto"))
    usual = [("a", 5, 5), ("b", 35, 5), ("c", 85, 5)]
    assert places(mirrored) == places(mirrored, "de") == places(plan(stack()), "ar") == usual
    swapped = [("a", 175, 5), ("b", 125, 5), ("c", 55, 5)]
    for locale in ("ar", "he-IL", "fa", "ur"):
        assert places(mirrored, locale) == swapped
    assert places(plan(stack(mirror="always")), "de") == swapped


def test_mirrored_image_is_rendered_again_and_has_its_own_digest() -> None:
    mirrored, plain = plan(stack(mirror="auto")), plan(stack())
    images = [compose(mirrored, locale) for locale in ("de", "ar", "de")]
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_array_equal(images[0], compose(plain))
    # The parts are as wide as before, in the other order.
    np.testing.assert_array_equal(images[1], images[0][:, ::-1])
    assert digest(mirrored, "de") == digest(mirrored, "fr") == digest(mirrored)
    assert digest(mirrored, "ar") != digest(mirrored, "de")
    assert digest(plain, "ar") == digest(plain, "de")


@pytest.mark.parametrize("values", [{"wrap": True, "width": 100}, {"direction": "column"}, {"justify": "end"}])
def test_mirrored_stack_is_a_mirror_image(values: dict[str, Any]) -> None:
    usual, mirrored = places(plan(stack(**values))), places(plan(stack(mirror="always", **values)))
    width, widths = values.get("width", 200), {"a": 20, "b": 40, "c": 60}
    assert mirrored == [(name, width - left - widths[name], top) for name, left, top in usual]


def test_stack_in_a_mirrored_stack_has_its_own_direction() -> None:
    inner = {
        "type": "stack",
        "name": "inner",
        "direction": "row",
        "sizing": {"width": "hug", "height": "hug"},
        "layers": [
            {"type": "shape", "name": name, "fill": "#ff0000", "width": 10, "height": 10} for name in ("one", "two")
        ],
    }
    outer = stack(mirror="always", layers=[inner, {**stack()["layers"][0]}])
    assert places(plan(outer)) == [("inner", 175, 5), ("one", 175, 5), ("two", 185, 5), ("a", 145, 5)]


def test_words_are_hyphenated_by_the_locale() -> None:
    text = {
        "type": "text",
        "name": "t",
        "text": "Straßenbahnhaltestelle",
        "size": 20,
        "max_lines": 4,
        "hyphens": "auto",
    }
    by_locale = plan(text | {"language": "auto"})
    for locale in ("de", "en"):
        np.testing.assert_array_equal(compose(by_locale, locale), compose(plan(text | {"language": locale})))
    assert (compose(by_locale, "de") != compose(by_locale, "en")).any()
    # Arabic has no hyphenation.
    without = plan(text | {"language": "ar", "hyphens": "none"})
    np.testing.assert_array_equal(compose(by_locale, "ar"), compose(without))
    assert digest(by_locale, "de") != digest(by_locale, "en")
    assert SOFT_HYPHEN not in text["text"]


def test_hyphens_need_a_language() -> None:
    with pytest.raises(ValidationError, match="such as de or en-GB, or auto"):
        TextLayer.model_validate({"type": "text", "name": "t", "text": "", "size": 9, **BOX, "hyphens": "auto"})
