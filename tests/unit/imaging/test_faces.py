import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter

from cwz_web.imaging import faces
from cwz_web.imaging.decoding import Source, find_face
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from tests.factories import jpeg

GROUND = (120, 140, 160)
FACE_SIDE = 320


def draw_face() -> Image.Image:
    """Return a drawn face from the front."""
    image = Image.new("RGB", (FACE_SIDE, FACE_SIDE), GROUND)
    draw = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, width: float, height: float, fill: tuple[int, int, int]) -> None:
        """Draw an ellipse by its center and its half sides, from -100 to 100."""
        corners = [(x - width, y - height), (x + width, y + height)]
        draw.ellipse([tuple(FACE_SIDE / 2 * (1 + each / 100) for each in corner) for corner in corners], fill=fill)

    ellipse(0, -12, 46, 58, (60, 40, 30))
    ellipse(0, 0, 38, 50, (215, 170, 140))
    for side in (-17, 17):
        ellipse(side, -18, 10, 2, (70, 45, 30))
        ellipse(side, -8, 9, 6, (150, 105, 85))
        ellipse(side, -7, 8, 4, (240, 240, 240))
        ellipse(side, -7, 4, 4, (40, 30, 30))
    ellipse(0, 8, 6, 8, (195, 150, 122))
    for side in (-4, 4):
        ellipse(side, 14, 3, 2, (120, 80, 65))
    ellipse(0, 27, 15, 4, (150, 70, 70))
    ellipse(0, 27, 14, 1, (90, 40, 40))
    return image.filter(ImageFilter.GaussianBlur(1))


def photo(*places: tuple[int, int]) -> Source:
    """Return a wide photo with faces, and a chessboard that draws attention."""
    image = Image.new("RGB", (1200, 400), GROUND)
    draw = ImageDraw.Draw(image)
    for x in range(10):
        draw.rectangle((550 + 10 * x, 150, 555 + 10 * x, 250), fill=(255, 0, 0))
    for place in places:
        image.paste(draw_face(), place)
    file = io.BytesIO()
    image.save(file, "PNG")
    return Source.of(file.getvalue())


def plan(**more: Any) -> Plan:
    layer = {"type": "image", "name": "Portrait", "source": "photo", "width": 100, "height": 100, "focus": "face"}
    document = {"version": 3, "canvas": {"width": 100, "height": 100}, "layers": [layer | more]}
    return Engine().plan(ImageTemplate.model_validate(document))


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    faces.faces_version.cache_clear()
    monkeypatch.setattr(faces, "DISTRIBUTION", "cwz-no-such-distribution")
    yield
    faces.faces_version.cache_clear()


@pytest.mark.parametrize(
    ("places", "expected"),
    [([(40, 40)], (200 / 1200, 0.5)), ([(840, 40)], (1000 / 1200, 0.5)), ([(200, 40), (680, 40)], (0.5, 0.5))],
    ids=["left", "right", "two"],
)
def test_faces_are_found(places: list[tuple[int, int]], expected: tuple[float, float]) -> None:
    found = find_face(photo(*places).data)
    assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("data", [photo().data, jpeg(), b"no image"], ids=["scene", "one color", "no image"])
def test_photo_without_a_face(data: bytes) -> None:
    assert find_face(data) is None


def test_photo_is_cropped_around_the_face() -> None:
    source = photo((40, 40))
    image = plan().compose({}, {"photo": source})
    around = plan(focus=[200 / 1200, 0.5]).compose({}, {"photo": source})
    assert abs(image.pixels.astype(int) - around.pixels).mean() < 8
    assert image.findings == ()


def test_photo_without_a_face_is_cropped_around_its_most_salient_part() -> None:
    images = [plan(focus=focus).compose({}, {"photo": photo()}).pixels for focus in ("face", "attention")]
    assert (images[0] == images[1]).all()


@pytest.mark.usefixtures("no_detector")
def test_server_without_the_detector_says_what_to_install() -> None:
    source = photo((40, 40))
    image = plan().compose({}, {"photo": source})
    assert (image.pixels == plan(focus="attention").compose({}, {"photo": source}).pixels).all()
    [finding] = image.findings
    assert finding.message.endswith("finding faces needs the extra “faces” on the server: pip install cwz-web[faces]")
    assert plan(fit="contain").compose({}, {"photo": source}).findings == ()


def test_digest_depends_on_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"photo": photo()}

    def digests() -> list[str]:
        return [plan(focus=focus).image_digest({}, sources, Output()) for focus in ("face", "attention")]

    monkeypatch.setattr("cwz_web.imaging.engine.faces_version", lambda: "1")
    before = digests()
    monkeypatch.setattr("cwz_web.imaging.engine.faces_version", lambda: "2")
    assert [one == other for one, other in zip(before, digests(), strict=True)] == [False, True]
