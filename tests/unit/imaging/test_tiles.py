"""Tiles on their background are the image, whichever containers, effects and blend modes there are."""

from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.demo.starters import open_starter
from cwz_web.imaging.compositing import Patch, Pixels, blend_patch
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import to_pixels
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.tiles import Tile, TiledLayer, without_mixing


def draw(
    document: ImageTemplate, sources: dict[str, Source] | None = None, size: str = "default", **data: str
) -> tuple[Pixels, Tile | None, list[TiledLayer]]:
    """Return an image, its background and its layers."""

    def load(reference: str) -> Source:
        try:
            return (sources or {})[reference]
        except KeyError:
            raise SourceMissingError("no such image") from None

    engine = Engine()
    plain = engine.plan(document, size)
    values = plain.fill_values(data, Output(format=Format.PNG))
    loaded = plain.load_sources(values, load)
    image = plain.compose(values, loaded)
    plan = engine.plan(without_mixing(document), size)
    return image.pixels, plan.render_background_tile(), list(plan.render_tiles(values, loaded, document.in_size(size)))


def decode(tile: Tile) -> Pixels:
    pixels: Pixels = to_pixels(pyvips.Image.new_from_buffer(tile.png, ""))
    assert pixels.shape == (tile.height, tile.width, 4)
    return pixels


def compose(background: Tile | None, layers: list[TiledLayer]) -> Pixels:
    """Show tiles as an editor does."""
    assert background
    canvas = decode(background).copy()
    for each in layers:
        if each.tile:
            pixels = decode(each.tile)
            patch = Patch(each.tile.x, each.tile.y, pixels, np.ascontiguousarray(pixels[..., 3]))
            blend_patch(canvas, patch.faded(each.opacity).blended(each.blend))
    return canvas


def assert_equal(shown: Pixels, image: Pixels) -> None:
    """Compare colors: at most 1 of 255 apart on 99.9 % of the pixels."""
    apart = np.abs(shown[..., :3].astype(int) - image[..., :3]).max(axis=2)
    assert np.mean(apart <= 1) >= 0.999


BOX = {"type": "shape", "width": 80, "height": 60, "fill": "#d03050"}
WORD = {"type": "text", "width": 120, "height": 40, "size": 28, "text": "Tiles"}


def make_template(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    named = [{"name": f"layer {number}"} | layer for number, layer in enumerate(layers)]
    return ImageTemplate.model_validate(
        {"version": 3, "canvas": {"width": 300, "height": 200, "background": "#e0f0ff"}, "layers": named, **more}
    )


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([BOX | {"x": 20, "y": 20, "opacity": 0.4}, WORD | {"x": 30, "y": 30}], id="opacity"),
        pytest.param([BOX | {"x": 20, "y": 20}, BOX | {"x": 60, "y": 40, "blend": "multiply"}], id="blend mode"),
        pytest.param([BOX | {"x": 200, "y": 100, "rotation": 30, "shadow": {}}], id="rotation and shadow"),
        pytest.param([BOX | {"x": -40, "y": 170}], id="beyond the edges"),
        pytest.param(
            [
                {
                    "type": "stack",
                    "x": 20,
                    "y": 20,
                    "width": 200,
                    "height": 150,
                    "gap": 8,
                    "padding": 10,
                    "background": "#ffffffcc",
                    "shadow": {},
                    "layers": [WORD | {"name": "a"}, BOX | {"name": "b"}],
                }
            ],
            id="stack with a box",
        ),
        pytest.param(
            [
                {
                    "type": "group",
                    "x": 60,
                    "y": 40,
                    "width": 150,
                    "height": 100,
                    "rotation": 20,
                    "opacity": 0.5,
                    "layers": [BOX | {"name": "a"}, BOX | {"name": "b", "x": 30, "y": 30, "fill": "#3050d0"}],
                }
            ],
            id="group with effects",
        ),
        pytest.param(
            [
                {
                    "type": "group",
                    "x": 60,
                    "y": 40,
                    "width": 70,
                    "height": 50,
                    "clip": True,
                    "radius": 12,
                    "layers": [BOX | {"name": "a"}],
                }
            ],
            id="group that clips",
        ),
        pytest.param(
            [
                BOX | {"x": 20, "y": 20, "mask": {"layer": "layer 1"}},
                {"type": "shape", "shape": "ellipse", "x": 30, "y": 30, "width": 50, "height": 40, "fill": "#000000"}
                | {"opacity": 0.5},
            ],
            id="mask",
        ),
    ],
)
def test_tiles_on_their_background_are_the_image(layers: list[dict[str, Any]]) -> None:
    image, background, tiles = draw(make_template(*layers))
    assert_equal(compose(background, tiles), image)


@pytest.mark.parametrize("slug", ["social-card", "product-ad"])
def test_a_starter_is_shown_as_it_is_rendered(slug: str) -> None:
    starter = open_starter(slug)
    sources = {f"upload:{source.digest}": source for source in starter.illustrations}
    image, background, tiles = draw(starter.document, sources)
    assert_equal(compose(background, tiles), image)


def test_opacity_and_blend_mode_do_not_change_a_tile() -> None:
    _, _, [plain] = draw(make_template(BOX))
    _, _, [mixed] = draw(make_template(BOX | {"opacity": 0.3, "blend": "screen"}))
    assert plain.tile
    assert mixed.tile
    assert (plain.tile.digest, plain.opacity, plain.blend) == (mixed.tile.digest, 1, "normal")
    assert (mixed.opacity, mixed.blend) == (0.3, "screen")


def test_a_tile_is_the_same_wherever_it_is() -> None:
    _, _, [here] = draw(make_template(BOX))
    _, _, [there] = draw(make_template(BOX | {"x": 50, "y": 20}))
    assert here.tile
    assert there.tile
    assert here.tile.digest == there.tile.digest
    assert (there.tile.x - here.tile.x, there.tile.y - here.tile.y) == (50, 20)


def test_layers_of_a_rotated_group_are_where_they_are_seen() -> None:
    group = {"type": "group", "x": 100, "y": 50, "width": 100, "height": 100, "rotation": 90}
    child = {"type": "shape", "name": "child", "width": 20, "height": 40, "fill": "#000000", "rotation": 15}
    _, _, [_, inner] = draw(make_template(group | {"layers": [child]}))
    # The center (110, 70), turned by 90 degrees around (150, 100).
    assert inner.center == pytest.approx((180, 60))
    assert (inner.rotation, inner.parent, inner.tile) == (105, "layer 0", None)


def test_repeated_layers_are_numbered() -> None:
    fields = [{"name": "points", "label": "Points", "type": "list", "default": "one|two|three"}]
    word = WORD | {"name": "point", "text": "{{ item }}"}
    stack = {"type": "stack", "width": 200, "height": 200, "repeat": {"field": "points"}, "layers": [word]}
    _, _, tiles = draw(make_template(stack, fields=fields))
    assert [(each.layer.name, each.instance) for each in tiles[1:]] == [("point", 0), ("point", 1), ("point", 2)]


def test_a_layer_that_cannot_be_rendered_says_why() -> None:
    code = {"type": "code", "code": "ean13", "content": "12", "width": 100, "height": 60}
    _, _, [layer, other] = render_tiles_only(make_template(code, BOX))
    assert "12" in layer.problem or "digits" in layer.problem
    assert layer.tile is None
    assert other.tile


def render_tiles_only(document: ImageTemplate) -> tuple[None, Tile | None, list[TiledLayer]]:
    plan = Engine().plan(without_mixing(document))
    values = plan.fill_values({})
    return None, plan.render_background_tile(), list(plan.render_tiles(values, {}, document.in_size("default")))


def test_a_transparent_canvas_has_no_background() -> None:
    document = make_template(BOX, canvas={"width": 100, "height": 100, "background": None})
    assert render_tiles_only(document)[1] is None
