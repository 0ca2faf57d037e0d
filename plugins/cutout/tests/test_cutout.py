"""Cut-outs of photos on a uniform ground."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import pyvips
from cwz_image_cutout import Cutout, cut_out
from numpy.typing import NDArray

from cwz_web.imaging.processor_testing import ProcessorConformance, encode, product_photo
from cwz_web.imaging.processors import ImageProcessor, ProcessingError, load_processors

Pixels = NDArray[np.uint8]


class TestCutout(ProcessorConformance):
    @pytest.fixture
    def processor(self) -> ImageProcessor:
        return Cutout()


def pixels_of(image: pyvips.Image) -> Pixels:
    pixels: Pixels = image.bandjoin(255).numpy()
    return pixels


def mug(ground: int = 255, noise: float = 0) -> Pixels:
    """Return a blue box with a window in the color of the ground, and a soft shadow to its right."""
    pixels = np.full((240, 320, 4), 255, np.float32)
    pixels[..., :3] = ground
    shade = np.clip(1 - np.abs(np.arange(320) - 220) / 60, 0, 1) * 0.4
    pixels[80:160, :, :3] *= (1 - shade)[:, None]
    pixels[60:180, 60:220, :3] = (30, 90, 160)
    pixels[100:140, 100:160, :3] = ground
    pixels[..., :3] += np.random.default_rng(1).normal(0, noise, (240, 320, 1)) if noise else 0
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 2])
@pytest.mark.parametrize("ground", [255, 128, 20])
def test_ground_is_transparent_and_the_product_is_not(ground: int, noise: float) -> None:
    alpha = cut_out(mug(ground, noise))[..., 3]
    assert alpha[:40].max() == 0
    assert alpha[70:170, 70:210].min() == 255, "what the product surrounds belongs to it"


def test_shadow_falls_on_any_ground() -> None:
    result = cut_out(mug())
    shadow = result[120, 230:270]
    assert shadow[:, :3].max() == 0
    assert 60 < shadow[0, 3] < 110
    assert np.all(np.diff(shadow[:, 3].astype(int)) <= 0)


def test_edge_has_no_seam_of_the_ground() -> None:
    y, x = np.mgrid[:200, :200]
    share = np.clip(60 - np.hypot(x - 100, y - 100) + 0.5, 0, 1)[..., None]
    photo = np.full((200, 200, 4), 255, np.uint8)
    photo[..., :3] = (share * (30, 90, 160) + (1 - share) * 255).round()
    result = cut_out(photo)
    visible = result[(result[..., 3] > 40) & (share[..., 0] < 1)]
    assert len(visible) > 100
    assert visible[:, 0].max() < 140, "the red of white is subtracted"


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (np.full((100, 100, 4), 255, np.uint8), "no product"),
        (np.random.default_rng(1).integers(0, 256, (100, 100, 4), dtype=np.uint8), "no uniform ground"),
    ],
    ids=["white", "noise"],
)
def test_other_photos_are_refused(photo: Pixels, reason: str) -> None:
    with pytest.raises(ProcessingError, match=reason):
        cut_out(photo)


def test_cut_out_is_kept() -> None:
    photo = product_photo().bandjoin(product_photo().extract_band(1) < 100)
    before, after = (
        pyvips.Image.new_from_buffer(each, "").numpy() for each in (encode(photo), Cutout().process(encode(photo)))
    )
    assert (before[..., 3] == after[..., 3]).all()


def test_large_photo_is_reduced() -> None:
    image = pyvips.Image.new_from_buffer(Cutout().process(encode(product_photo(4000, 1000))), "")
    assert (image.width, image.height) == (2048, 512)


def test_plugin_is_loaded() -> None:
    point = EntryPoint("cutout", "cwz_image_cutout", "cwz.image_processors")
    assert list(load_processors(point)) == ["cutout"]
