"""Documents of earlier versions load, and render to the pixels that they had when they were written.

The pixel digests in `tests/data/documents/pixels.json` were recorded with the code that wrote these documents. They
depend on the versions of libvips and the font packages that are pinned in `constraints.txt` and `package-lock.json`.
"""

import io
import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.document_migrations import migrate_document
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from tests.installation import ROOT

DOCUMENTS = ROOT / "tests" / "data" / "documents"
PIXELS: dict[str, dict[str, str]] = json.loads((DOCUMENTS / "pixels.json").read_text())
DIGESTS: dict[str, str] = json.loads((DOCUMENTS / "digests.json").read_text())
PHOTO_SIZE = (400, 300)


def read_document(name: str) -> Any:
    return json.loads((DOCUMENTS / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def photo() -> Source:
    """A color gradient with a checkered band and a red rectangle, as PNG."""
    width, height = PHOTO_SIZE
    y, x = np.mgrid[0:height, 0:width]
    bands = [x * 255 // (width - 1), y * 255 // (height - 1), (x // 25 + y // 25) % 2 * 200]
    pixels = np.stack(bands, axis=-1).astype(np.uint8)
    pixels[60:120, 280:340] = (250, 40, 40)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Source.of(file.getvalue())


@pytest.mark.parametrize("name", PIXELS)
def test_document_of_an_earlier_version_renders_the_same_pixels(name: str, photo: Source) -> None:
    def load(reference: str) -> Source:
        if reference in ("", "missing"):
            raise SourceMissingError("The image is missing")
        return photo

    template = ImageTemplate.model_validate(read_document(name))
    for key, digest in PIXELS[name].items():
        size, _, scale = key.partition("@")
        plan = Engine().plan(template, size, int(scale))
        values = plan.fill_values({})
        pixels = plan.compose(values, plan.load_sources(values, load)).pixels[..., :3]
        assert sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest() == digest, key


@pytest.mark.parametrize("name", PIXELS)
def test_document_without_new_keys_keeps_its_digest(name: str) -> None:
    """The digest names images. A key that is added to the document is defined with `new_key`."""
    assert ImageTemplate.model_validate(read_document(name)).digest == DIGESTS[name]


def test_version_1_is_converted() -> None:
    document = ImageTemplate.model_validate(read_document("version-1")).canonical()
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert document["version"] == 3
    assert layers["Outlined"]["border"] == {"color": "#112233", "width": 4}
    assert layers["No outline"]["border"] is None
    assert layers["Title"]["show_if"] == {"field": "title", "is": "filled", "value": ""}


def test_version_2_is_converted() -> None:
    document = ImageTemplate.model_validate(read_document("version-2")).canonical()
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert document["version"] == 3
    assert document["fields"][4] == {"name": "image", "label": "Photo", "type": "image", "default": "photo"}
    assert document["canvas"]["background"]["type"] == "radial"
    assert layers["Gray"]["grayscale"] is True
    assert layers["Circle"]["anchor"] == "center"
    assert layers["Stroke"]["stroke"] == {"color": "#e4572e", "width": 4}
    assert layers["Few left"]["show_if"] == {"field": "stock", "is": "less", "value": "5"}
    assert [size["name"] for size in document["sizes"]] == ["dark"]


def test_rotated_layers_keep_their_edges() -> None:
    """Documents of version 3 have others: a digest names only one of the two images."""
    migrated = ImageTemplate.model_validate(read_document("version-2"))
    assert migrated.legacy_edges
    assert ImageTemplate.model_validate(migrated.canonical()) == migrated
    document = migrated.canonical()
    del document["legacy_edges"]
    current = ImageTemplate.model_validate(document)
    assert current.digest != migrated.digest
    assert Engine().plan(current).digest != Engine().plan(migrated).digest
    assert not ImageTemplate.model_validate(read_document("quote")).legacy_edges, "nothing rotates"


def test_references_to_uploads_are_converted() -> None:
    reference = f"original:{'a' * 64}"
    document = read_document("version-2")
    document["columns"][4]["default"] = document["layers"][1]["source"] = document["layers"][13]["font"] = reference
    migrated = ImageTemplate.model_validate(document).canonical()
    found = [migrated["fields"][4]["default"], migrated["layers"][1]["source"], migrated["layers"][13]["font"]]
    assert found == [f"upload:{'a' * 64}"] * 3


def test_current_document_is_unchanged() -> None:
    current = ImageTemplate.model_validate(read_document("version-2")).canonical()
    assert migrate_document(current) is current


parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("centre"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["canvas", "columns", "layers", "formats", "overrides", "show_if", "stroke", "stroke_width", "fill"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from([1, 2]), parts)
def test_malformed_document_is_reported_and_never_crashes(version: int, part: Any) -> None:
    document = {**part, "version": version} if isinstance(part, dict) else {"version": version, "layers": part}
    with pytest.raises(ValidationError):
        ImageTemplate.model_validate(document)
