import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from cwz_web.imaging.decoding import fit_image, read_photo_facts
from cwz_web.imaging.layers import ImageLayer
from cwz_web.imaging.trimming import extend_edges, find_ground
from tests.installation import ROOT

IMAGES = ROOT / "tests" / "data" / "images"
RED = (180, 40, 40)


def layer(**values: Any) -> ImageLayer:
    defaults = {"type": "image", "name": "i", "source": "s", "x": 0, "y": 0, "width": 300, "height": 200, "fit": "trim"}
    return ImageLayer.model_validate(defaults | values)


def encode(image: Image.Image, format: str = "JPEG", quality: int = 75) -> bytes:
    file = io.BytesIO()
    image.save(file, format, quality=quality)
    return file.getvalue()


def photo(
    size: tuple[int, int] = (800, 600),
    ground: tuple[int, int, int] = (255, 255, 255),
    box: tuple[int, int, int, int] = (500, 100, 700, 400),
    color: tuple[int, int, int] = RED,
    *,
    shadow: bool = False,
    noise: float = 0,
) -> Image.Image:
    """Return a photo of a box on a uniform ground, with a soft shadow below it and noise."""
    image = Image.new("RGB", size, ground)
    if shadow:
        shade = Image.new("L", size, 0)
        ImageDraw.Draw(shade).ellipse((box[0] - 30, box[3] - 30, box[2] + 30, box[3] + 40), fill=110)
        image.paste((0, 0, 0), mask=shade.filter(ImageFilter.GaussianBlur(25)))
    product = Image.new("L", size, 0)
    ImageDraw.Draw(product).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    image.paste(color, mask=product.filter(ImageFilter.GaussianBlur(1)))
    speckle = np.random.default_rng(1).normal(0, noise, (size[1], size[0], 3)) if noise else 0
    return Image.fromarray((np.asarray(image) + speckle).clip(0, 255).astype(np.uint8))


def cutout() -> Image.Image:
    image = Image.new("RGBA", (800, 600), (255, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((500, 100, 699, 399), fill=(*RED, 255))
    return image


def scene() -> Image.Image:
    colors = np.random.default_rng(2).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(colors).resize((800, 600), Image.Resampling.BICUBIC)


def gray_product() -> Image.Image:
    """Return a photo of a gray ball on white."""
    y, x = np.mgrid[0:600, 0:800]
    distance = np.hypot(x - 400, y - 300)
    levels = np.where(distance < 200, 150 + distance / 3, 255).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def red_box(pixels: Any) -> tuple[int, int, int, int]:
    """Return where the product is: left, top, right and bottom."""
    red = (pixels[..., 0].astype(int) - pixels[..., 1] > 60) & (pixels[..., 3] > 128)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode(photo()),
        lambda: encode(photo(shadow=True)),
        lambda: encode(photo(ground=(246, 245, 242), shadow=True, noise=3), quality=60),
        lambda: encode(photo(ground=(90, 140, 190))),
        lambda: encode(cutout(), "PNG"),
        lambda: encode(photo(box=(500, 0, 700, 300))),  # touches the edge
        lambda: encode(photo(size=(1600, 1200), box=(100, 800, 300, 1100)), "WEBP"),
    ],
    ids=["white", "shadow", "noise", "color", "cutout", "edge", "small"],
)
def test_product_is_centered_with_even_padding(make: Callable[[], bytes]) -> None:
    fitted = fit_image(layer(trim_padding=0.1), make())
    pixels = fitted.patch.color
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (200, 300, 4)
    # The product is 2:3; 160 pixels of the height are left beside the padding of 20.
    assert red_box(pixels) == pytest.approx((97, 20, 203, 180), abs=3)


@pytest.mark.parametrize("fit", ["trim", "extend"])
def test_ground_fills_the_rest_of_the_box(fit: str) -> None:
    pixels = fit_image(layer(fit=fit), encode(photo(ground=(90, 140, 190)), quality=95)).patch.color
    assert isinstance(pixels, np.ndarray)
    for row, column in ((0, 0), (199, 0), (0, 299), (199, 299), (100, 5)):
        assert pixels[row, column].tolist() == pytest.approx([90, 140, 190, 255], abs=3)


def test_ground_of_a_cutout_stays_transparent() -> None:
    patch = fit_image(layer(), encode(cutout(), "PNG")).patch
    assert patch.mask()[:, 0].max() == 0
    assert patch.mask()[100, 150] == 255


@pytest.mark.parametrize("make", [scene, lambda: Image.new("RGB", (800, 600), (200, 30, 30))], ids=["scene", "plain"])
def test_photo_without_a_product_on_a_ground_is_contained(make: Callable[[], Image.Image]) -> None:
    data = encode(make())
    trimmed, contained = (fit_image(layer(fit=fit), data).patch for fit in ("trim", "contain"))
    assert (trimmed.x, trimmed.y) == (contained.x, contained.y)
    assert isinstance(trimmed.color, np.ndarray)
    assert np.array_equal(trimmed.color, contained.color)


def test_extended_image_is_neither_cropped_nor_stretched() -> None:
    data = encode(photo(size=(600, 600), box=(0, 200, 600, 400)))
    pixels = fit_image(layer(fit="extend"), data).patch.color
    assert isinstance(pixels, np.ndarray)
    assert red_box(pixels)[1::2] == pytest.approx((67, 133), abs=2)
    assert fit_image(layer(fit="extend"), data).enlargement == pytest.approx(1 / 3)


def test_trimming_reports_the_enlargement_of_the_product() -> None:
    fitted = fit_image(layer(trim_padding=0), encode(photo(size=(200, 150), box=(40, 40, 115, 90)), "PNG"))
    assert fitted.enlargement == pytest.approx(300 / 81, abs=0.1)  # the edges are blurred


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: encode(photo()), "white"),
        (lambda: encode(photo(shadow=True, noise=2)), "white"),
        (lambda: encode(photo(ground=(240, 190, 80))), "uniform"),
        (lambda: encode(cutout(), "PNG"), "cutout"),
        (lambda: encode(scene()), "lifestyle"),
        (lambda: encode(photo(ground=(238, 238, 238), color=(185, 185, 185))), "placeholder"),
        (lambda: encode(Image.new("RGB", (400, 400), (255, 255, 255))), "placeholder"),
        (lambda: encode(photo(color=(10, 10, 10))), "white"),  # a black logo
        (lambda: encode(gray_product()), "white"),
    ],
)
def test_background_of_a_photo(make: Callable[[], bytes], expected: str) -> None:
    facts = read_photo_facts(make())
    assert facts.background == expected
    assert not facts.too_small


def test_size_of_a_photo() -> None:
    facts = read_photo_facts(encode(photo(size=(120, 90), box=(20, 20, 60, 60))))
    assert (facts.background, facts.width, facts.height, facts.too_small) == ("white", 120, 90, True)


def test_ground_in_soft_light_is_a_ground() -> None:
    """A vignette: the corners are darker than the middle."""
    y, x = np.mgrid[-1:1:240j, -1:1:320j]
    pixels = np.full((240, 320, 4), 255, np.uint8)
    pixels[..., :3] = (250 - 40 * (x**2 + y**2))[..., None]
    pixels[100:140, 150:200, :3] = RED
    ground = find_ground(pixels)
    assert ground is not None
    assert ground.product is not None
    assert (ground.product.left, ground.product.bottom) == pytest.approx((150 / 320, 140 / 240), abs=0.01)


@pytest.mark.parametrize("name", ["png16a.png", "greya16.png", "trunc_eoi.jpg"])
def test_background_of_unusual_files(name: str) -> None:
    assert read_photo_facts((IMAGES / name).read_bytes()).background == "lifestyle"


def test_white_product_on_a_white_ground_is_found() -> None:
    image = photo(size=(320, 240), box=(200, 40, 260, 100), color=(241, 241, 241))
    ground = find_ground(np.asarray(image.convert("RGBA")))
    assert ground is not None
    assert ground.product is not None


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=100)
def test_any_pixels_have_a_ground_or_none(width: int, height: int, seed: int, flat: bool) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 4), np.uint8)
    if flat:
        pixels[: max(height - 3, 1)] = pixels[0, 0]
    ground = find_ground(pixels)
    if ground and ground.product:
        box = ground.product
        assert 0 <= box.left < box.right <= 1
        assert 0 <= box.top < box.bottom <= 1


@pytest.mark.parametrize("fit", ["trim", "extend"])
def test_gradient_of_the_ground_continues_beside_the_photo(fit: str) -> None:
    shade = np.linspace(0, 22, 600)[:, None, None]
    image = np.asarray(photo(noise=1, box=(300, 200, 500, 400))) - shade
    data = encode(Image.fromarray(image.clip(0, 255).astype(np.uint8)), quality=92)
    colors = fit_image(layer(fit=fit, width=900, height=200), data).patch.color
    assert isinstance(colors, np.ndarray)
    bands = np.median(colors[..., :3].reshape(10, 20, 900, 3), axis=1)
    # From left to right, also where the photo begins, and from top to bottom, as in the photo.
    assert np.abs(np.diff(bands, axis=1))[:, [*range(340), *range(560, 899)]].max() <= 2
    assert bands[0, 0, 0] - bands[-1, 0, 0] == pytest.approx(bands[0, 350, 0] - bands[-1, 350, 0], abs=2) != 0


def test_edge_with_a_product_is_continued_in_one_color() -> None:
    pixels = np.full((100, 100, 4), 240, np.uint8)
    pixels[30:40] = 20
    assert np.all(extend_edges(pixels, 20, 0, 20, 0)[:, :20] == 240)


def test_edges_are_extended_in_their_median_color() -> None:
    pixels = np.full((2, 3, 4), 9, np.uint8)
    pixels[:, 2] = 50
    extended = extend_edges(pixels, 1, 2, 1, 0)
    assert extended.shape == (4, 5, 4)
    assert extended[3, :, 0].tolist() == [9, 9, 9, 50, 50]
    assert extended[0, :, 0].tolist() == [9] * 5
