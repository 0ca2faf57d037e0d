"""Imported templates render; their pixels were looked at when the digests were recorded."""

import io
import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.importers.builder import ImportOptions
from cwz_web.importers.detection import find_kind
from tests.installation import ROOT

DATA = ROOT / "tests" / "data" / "importers"
SIZE = ImportOptions(width=1080, height=1350)


def render(name: str) -> tuple[Any, list[str]]:
    """Return the pixels of an imported sample, and the references of its images."""
    parsed = json.loads((DATA / f"{name}.json").read_text())
    kind = find_kind(parsed)
    assert kind
    document = kind.convert(parsed, SIZE).document
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "PNG")
    photo = Source.of(file.getvalue())
    references: list[str] = []

    def load(reference: str) -> Source:
        if not reference:
            raise SourceMissingError("The image is missing")
        references.append(reference)
        return photo

    plan = Engine().plan(document)
    values = plan.fill_values({})
    pixels = plan.compose(values, plan.load_sources(values, load)).pixels[..., :3]
    return np.ascontiguousarray(pixels), references


@pytest.mark.parametrize(
    ("name", "photos", "digest"),
    [
        ("bannerbear-v5-template", 2, "989e8733871fa119"),
        ("bannerbear-v2-template", 0, "37df5166424a9bdc"),
        ("placid-template", 0, "13575234abf8082b"),
    ],
)
def test_samples_render_as_recorded(name: str, photos: int, digest: str) -> None:
    pixels, references = render(name)
    assert len(references) == photos
    assert sha256(pixels.tobytes()).hexdigest()[:16] == digest
