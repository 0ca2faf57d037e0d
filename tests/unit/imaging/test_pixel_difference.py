"""The difference of two images: which pixels count, also of transparent images and of different sizes."""

import numpy as np
import pytest

from cwz_web.imaging import pixel_difference
from cwz_web.imaging.compositing import RGB, Pixels, new_canvas
from cwz_web.imaging.composition import Composition
from cwz_web.imaging.encoders import Format, Output, encode
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.pixel_difference import compare_files, compare_images

GRAY: RGB = (120, 120, 120)


def opaque(width: int = 20, height: int = 10, color: RGB = GRAY) -> Composition:
    return Composition(new_canvas(width, height, color))


def transparent(color: tuple[int, int, int, int]) -> Composition:
    pixels: Pixels = np.full((10, 20, 4), color, np.uint8)
    return Composition(pixels, has_alpha=True)


def test_equal_images_have_no_difference_and_a_gray_heat_image() -> None:
    found = compare_images(opaque(), opaque())
    assert (found.changed, found.total, found.share) == (0, 200, 0)
    assert found.heat.shape == (10, 20, 4)
    assert len(np.unique(found.heat[..., :3])) == 1


def test_each_changed_pixel_counts_and_is_colored_by_its_amount() -> None:
    after = opaque()
    after.pixels[2:4, 5:8, 1] += 1
    after.pixels[9, 19, 0] = 255
    found = compare_images(opaque(), after)
    assert found.changed == 7
    small, large, same = found.heat[2, 5, :3], found.heat[9, 19, :3], found.heat[0, 0, :3]
    assert small[1] > large[1]
    assert len({*map(int, same)}) == 1
    assert not np.array_equal(small, same)


def test_unused_fourth_byte_of_opaque_images_is_no_difference() -> None:
    after = opaque()
    after.pixels[..., 3] = 7
    assert compare_images(opaque(), after).changed == 0


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ((255, 0, 0, 0), (0, 0, 255, 0), 0),  # invisible colors
        ((255, 255, 255, 0), (255, 255, 255, 255), 200),  # white appears
        ((0, 0, 0, 0), (0, 0, 0, 255), 200),
        ((9, 9, 9, 128), (9, 9, 9, 128), 0),
    ],
)
def test_transparent_images(before: tuple[int, int, int, int], after: tuple[int, int, int, int], changed: int) -> None:
    assert compare_images(transparent(before), transparent(after)).changed == changed


def test_white_canvas_that_becomes_transparent_differs() -> None:
    assert compare_images(opaque(color=(255, 255, 255)), transparent((255, 255, 255, 0))).changed == 200


def test_what_only_one_image_covers_differs() -> None:
    found = compare_images(opaque(20, 10), opaque(10, 30))
    assert found.heat.shape == (30, 20, 4)
    assert (found.changed, found.total) == (100 + 200, 200 + 300 - 100)


def test_large_images_are_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_difference, "MAX_COMPARED_PIXELS", 5000)
    found = compare_images(opaque(200, 100), opaque(200, 100, (0, 0, 0)))
    assert found.heat.shape == (50, 100, 4)
    assert found.share == 1


def test_files_are_compared_with_a_threshold() -> None:
    old, new = new_canvas(40, 20, (100, 100, 100)), new_canvas(40, 20, (100, 100, 100))
    new[:, :10, 0] = 110
    new[:5, 30:, 1] = 200
    files = [encode(pixels, Output(format=Format.PNG)) for pixels in (old, new)]
    assert compare_files(*files).changed == 250
    difference = compare_files(*files, threshold=16)
    assert (difference.changed, difference.total) == (50, 800)
    assert np.ptp(difference.heat[10, 5, :3]) == 0, "a pixel below the threshold is gray"
    with pytest.raises(InvalidImageError):
        compare_files(files[0], b"\x89PNG")
