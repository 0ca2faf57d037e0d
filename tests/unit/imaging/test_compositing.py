import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.compositing import (
    Patch,
    blend_patch,
    flatten,
    merge_patches,
    new_canvas,
    new_transparent_canvas,
    parse_color,
)
from tests.unit.imaging.test_blending import MODES, composite


@given(
    st.integers(-12, 12),
    st.integers(-12, 12),
    st.integers(1, 14),
    st.integers(1, 14),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
@settings(max_examples=150)
def test_blending_matches_the_formula_and_changes_no_other_pixel(
    x: int, y: int, width: int, height: int, seed: int, solid: bool
) -> None:
    random = np.random.default_rng(seed)
    canvas = random.integers(0, 256, (10, 9, 4), np.uint8)
    alpha = random.integers(0, 256, (height, width), np.uint8)
    colors = random.integers(0, 256, (height, width, 4), np.uint8)
    color = (10, 200, 77)
    if solid:
        colors[:] = (*color, 255)
    expected = canvas.copy()
    for row in range(height):
        for column in range(width):
            at = (y + row, x + column)
            if 0 <= at[0] < 10 and 0 <= at[1] < 9:
                cover = alpha[row, column] / 255
                expected[at] = np.rint(colors[row, column] * cover + expected[at] * (1 - cover))
    blend_patch(canvas, Patch(x, y, color if solid else colors, alpha))
    assert np.abs(canvas.astype(int) - expected.astype(int)).max() == 0


def test_patch_without_alpha_is_opaque() -> None:
    canvas = new_canvas(4, 3, (1, 2, 3))
    blend_patch(canvas, Patch(1, 1, np.full((5, 5, 4), 9, np.uint8), None))
    assert canvas[0, :, :3].tolist() == [[1, 2, 3]] * 4
    assert canvas[1, :, :3].tolist() == [[1, 2, 3], [9, 9, 9], [9, 9, 9], [9, 9, 9]]


def test_colors_and_opacity() -> None:
    assert parse_color("#ff0080") == ((255, 0, 128), 1.0)
    assert parse_color("#ff008000") == ((255, 0, 128), 0.0)
    patch = Patch(0, 0, (1, 2, 3), np.array([[0, 100, 255]], np.uint8))
    assert patch.faded(0.5).mask().tolist() == [[0, 50, 128]]
    assert patch.faded(1) is patch


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=60)
def test_merged_patches_look_like_separate_ones(seed: int, number: int) -> None:
    random = np.random.default_rng(seed)

    def random_patch() -> Patch:
        height, width = random.integers(1, 8, 2)
        colors = random.integers(0, 256, (height, width, 4), np.uint8) if random.random() < 0.5 else (9, 99, 199)
        alpha = random.integers(0, 256, (height, width), np.uint8)
        return Patch(*map(int, random.integers(0, 6, 2)), colors, alpha)

    patches = [random_patch() for _ in range(number)]
    separate, merged = (new_canvas(16, 16, (50, 100, 150)) for _ in range(2))
    for patch in patches:
        blend_patch(separate, patch)
    blend_patch(merged, merge_patches(patches))
    assert np.abs(separate[..., :3].astype(int) - merged[..., :3].astype(int)).max() <= number + 1


@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES), st.booleans())
@settings(max_examples=100)
def test_transparent_canvas_matches_the_formula(seed: int, mode: BlendMode, solid: bool) -> None:
    random = np.random.default_rng(seed)
    canvas = random.integers(0, 256, (6, 7, 4), np.uint8)
    alpha = random.integers(0, 256, (6, 7), np.uint8)
    color = tuple(map(int, random.integers(0, 256, 3))) if solid else random.integers(0, 256, (6, 7, 4), np.uint8)
    expected = [
        [
            composite(mode, canvas[y, x] / 255, np.array(color if solid else color[y, x])[:3] / 255, alpha[y, x] / 255)
            for x in range(7)
        ]
        for y in range(6)
    ]
    blend_patch(canvas, Patch(0, 0, color, alpha, mode), has_alpha=True)
    assert np.abs(canvas - np.array(expected) * 255).max() <= 1


def test_opaque_patch_makes_a_transparent_canvas_opaque() -> None:
    canvas = new_transparent_canvas(4, 4, (0, 0, 0), 0)
    blend_patch(canvas, Patch(2, 0, np.full((4, 4, 4), 9, np.uint8), None), has_alpha=True)
    assert canvas[0, :, 3].tolist() == [0, 0, 255, 255]


def test_flattened_canvas_looks_like_one_that_was_opaque() -> None:
    patches = [
        Patch(0, 0, (200, 0, 0), np.full((4, 4), 90, np.uint8)),
        Patch(1, 1, (0, 0, 250), np.full((2, 2), 255, np.uint8)),
    ]
    opaque, transparent = new_canvas(4, 4, (255, 255, 255)), new_transparent_canvas(4, 4, (9, 9, 9), 0)
    for patch in patches:
        blend_patch(opaque, patch)
        blend_patch(transparent, patch, has_alpha=True)
    assert np.abs(flatten(transparent, (255, 255, 255)).astype(int) - opaque)[..., :3].max() <= 1


@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES))
@settings(max_examples=60)
def test_merged_patches_mix_with_each_other_on_a_transparent_backdrop(seed: int, mode: BlendMode) -> None:
    random = np.random.default_rng(seed)
    colors, alphas = random.integers(0, 256, (2, 5, 6, 4), np.uint8), random.integers(0, 256, (2, 5, 6), np.uint8)
    merged = merge_patches([Patch(3, 3, colors[0], alphas[0]), Patch(3, 3, colors[1], alphas[1], mode)])
    assert isinstance(merged.color, np.ndarray)
    assert merged.blend == "normal"
    for at in np.ndindex(5, 6):
        below = np.array([*colors[0][at][:3], alphas[0][at]]) / 255
        expected = composite(mode, below, colors[1][at][:3] / 255, alphas[1][at] / 255)
        assert abs(merged.mask()[at] - expected[3] * 255) <= 1
        assert np.abs(merged.color[at][:3] - np.array(expected[:3]) * 255).max() <= 1.01


def test_single_patch_of_an_isolated_group_has_nothing_to_mix_with() -> None:
    patch = Patch(0, 0, (9, 9, 9), np.full((1, 1), 255, np.uint8), "multiply")
    assert merge_patches([patch]).blend == "normal"
