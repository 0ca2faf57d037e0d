"""The conformance suite of image processors. An author derives from ProcessorConformance in a test of the plugin.

It needs pytest, which only tests import.
"""

import pickle

import pytest
import pyvips

from cwz_web.imaging.decoding import MAX_BYTES, has_alpha, read_image_size
from cwz_web.imaging.processor_process import ProcessorProcess
from cwz_web.imaging.processors import ImageProcessor, ProcessingError, find_processor_problem

FORMATS = {".jpg": {"Q": 90}, ".png": {}, ".webp": {"Q": 90}, ".gif": {}}


def product_photo(width: int = 320, height: int = 240) -> pyvips.Image:
    """Return a photo of a red product on a white ground."""
    image = (pyvips.Image.black(width, height, bands=3) + 255).cast("uchar").copy(interpretation="srgb")
    return image.draw_rect([200, 30, 40], width // 4, height // 4, width // 2, height // 2, fill=True)


def encode(image: pyvips.Image, suffix: str = ".png") -> bytes:
    """Return an image as a file."""
    data: bytes = image.write_to_buffer(suffix, **FORMATS[suffix])
    return data


class ProcessorConformance:
    """Tests that every image processor has to pass. Override `processor`."""

    @pytest.fixture
    def processor(self) -> ImageProcessor:
        raise NotImplementedError("Override the fixture `processor` and return your processor")

    def test_attributes_fulfill_the_contract(self, processor: ImageProcessor) -> None:
        assert find_processor_problem(processor) == ""

    def test_processor_can_be_pickled(self, processor: ImageProcessor) -> None:
        assert pickle.loads(pickle.dumps(processor)).name == processor.name  # noqa: S301 - our own

    @pytest.mark.parametrize("suffix", list(FORMATS))
    def test_result_has_alpha_and_the_aspect_ratio(self, processor: ImageProcessor, suffix: str) -> None:
        result = processor.process(encode(product_photo(), suffix))
        assert len(result) <= MAX_BYTES
        assert has_alpha(result), "the result has to have transparency"
        width, height = read_image_size(result)
        assert abs(width * 240 - height * 320) <= max(width, height), f"expected 4:3, got {width} x {height}"

    def test_large_photo(self, processor: ImageProcessor) -> None:
        assert has_alpha(processor.process(encode(product_photo(3000, 2000), ".jpg")))

    def test_transparent_photo(self, processor: ImageProcessor) -> None:
        transparent = product_photo().bandjoin(product_photo().extract_band(1) < 100)
        assert has_alpha(processor.process(encode(transparent)))

    def test_same_photo_has_the_same_result(self, processor: ImageProcessor) -> None:
        photo = encode(product_photo())
        assert processor.process(photo) == processor.process(photo), "change `version` if results change"

    @pytest.mark.parametrize("photo", [b"", b"no image", encode(product_photo())[:200]], ids=["empty", "text", "cut"])
    def test_damaged_photo_is_refused(self, processor: ImageProcessor, photo: bytes) -> None:
        with pytest.raises(ProcessingError):
            processor.process(photo)

    def test_processor_works_within_the_limits(self, processor: ImageProcessor) -> None:
        process = ProcessorProcess(processor)
        try:
            assert has_alpha(process.process(encode(product_photo())))
        finally:
            process.close()
