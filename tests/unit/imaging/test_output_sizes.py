"""Sizes that a request adds to a template."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.imaging.output_sizes import OutputSize, add_sizes, shown_name
from tests.factories import small_document


def template(**more: Any) -> ImageTemplate:
    square = {"name": "square", "width": 100, "height": 100, "overrides": {"Title": {"x": 3}}}
    return ImageTemplate.model_validate(small_document(sizes=[square, square | {"name": "story"}], **more))


def test_plain_sizes_leave_the_template_as_it_is() -> None:
    document = template()
    same, names = add_sizes(document, [OutputSize(), OutputSize("square")])
    assert same is document
    assert names == ["default", "square"]


def test_canvas_follows_pins() -> None:
    document = small_document()
    document["layers"][0]["pins"] = {"horizontal": "both", "vertical": "scale"}
    sized, [name] = add_sizes(ImageTemplate.model_validate(document), [OutputSize(width=600)])
    assert name == "600x200"
    wide = sized.in_size(name)
    assert (wide.canvas.width, wide.canvas.height) == (600, 200)
    assert [(layer.x, layer.width, layer.height) for layer in wide.layers] == [(150, 450, 200), (10, 130, 60)]


def test_transparent_size_keeps_its_overrides() -> None:
    sized, [name, plain] = add_sizes(template(), [OutputSize("square", is_transparent=True), OutputSize("square")])
    transparent = sized.in_size(name)
    assert transparent.canvas.opacity == 0
    assert transparent.layers[1].x == sized.in_size(plain).layers[1].x == 3
    assert sized.in_size(plain).canvas.opacity == 1
    assert shown_name(name) == "square"


def test_only_used_sizes_are_kept() -> None:
    sized, _ = add_sizes(template(), [OutputSize("square"), OutputSize(width=50)])
    assert [size.name for size in sized.sizes] == ["square", "50x200"]


def test_canvas_that_is_named_like_another_size_gets_a_number() -> None:
    own = {"name": "50x50", "width": 70, "height": 70}
    document = ImageTemplate.model_validate(small_document(sizes=[own]))
    sized, names = add_sizes(document, [OutputSize("50x50"), OutputSize(width=50, height=50)])
    assert names == ["50x50", "50x50-2"]
    assert [sized.in_size(name).canvas.width for name in names] == [70, 50]


def test_unknown_size_is_refused() -> None:
    with pytest.raises(UnknownSizeError, match="square, story"):
        add_sizes(template(), [OutputSize("other")])


sides = st.none() | st.integers(16, 4096)
wanted = st.builds(OutputSize, width=sides, height=sides, is_transparent=st.booleans())


@given(st.lists(wanted | st.just(OutputSize("square", is_transparent=True)), min_size=1, max_size=12, unique=True))
def test_every_output_has_its_size_in_a_valid_document(outputs: list[OutputSize]) -> None:
    document = template()
    sized, names = add_sizes(document, outputs)
    again = ImageTemplate.model_validate(sized.canonical())
    for output, name in zip(outputs, names, strict=True):
        canvas = again.in_size(name).canvas
        base = document.in_size(output.size).canvas
        assert (canvas.width, canvas.height) == (output.width or base.width, output.height or base.height)
        assert canvas.opacity == (0 if output.is_transparent else 1)
