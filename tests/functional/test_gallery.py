"""The gallery: pages, filters, small images of the large ones."""

from typing import Any
from uuid import uuid4

import pytest
import pyvips
from sqlalchemy import update
from webtest import TestApp

from cwz_web.generation import images
from cwz_web.generation.images import find_images
from cwz_web.generation.models import Image
from cwz_web.imaging.decoding import thumbnail
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, jpeg, local_bucket, sign_in


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space: Workspace = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    return space


def gallery(make: Factory, space: Workspace, number: int) -> list[Image]:
    """Images named Image 0, Image 1, ...; the newest is the last."""
    template = make.template(space)
    made = [make.image(template) for _ in range(number)]
    with make.database.transaction(space.id) as db:
        for position, image in enumerate(made):
            db.execute(update(Image).where(Image.id == image.id).values(name=f"Image {position}"))
    return made


def names(page: Any) -> list[str]:
    return [caption.text.strip() for caption in page.html.select(".caption span:first-child")]


def test_images_can_be_searched_by_name(app: TestApp, make: Factory, space: Workspace) -> None:
    gallery(make, space, 12)
    here = f"/w/{space.slug}/images"
    assert names(app.get(f"{here}?search=IMAGE 1")) == ["Image 11", "Image 10", "Image 1"]
    nothing = app.get(f"{here}?search=teapot")
    assert "No images match" in nothing.text
    assert nothing.html.find("input", {"name": "search"})["value"] == "teapot"
    assert names(app.get(f"{here}?search=%25")) == [], "a percent sign is a character like any other"


def test_images_can_be_filtered_by_template(app: TestApp, make: Factory, space: Workspace) -> None:
    gallery(make, space, 2)
    other = make.template(space, name="Poster")
    make.image(other)
    page = app.get(f"/w/{space.slug}/images?template={other.id}")
    assert len(names(page)) == 1
    assert page.html.find("option", {"selected": True}).text == "Poster"
    assert names(app.get(f"/w/{space.slug}/images?template={uuid4()}")) == []
    assert len(names(app.get(f"/w/{space.slug}/images?template=nonsense"))) == 3, "what cannot be read is no filter"


def test_filters_are_kept_on_further_pages(
    app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = gallery(make, space, 7)
    monkeypatch.setattr(find_images, "__kwdefaults__", find_images.__kwdefaults__ | {"limit": 3})
    seen, link = [], f"?search=image&template={made[0].template_id}"
    while link:
        page = app.get(f"/w/{space.slug}/images{link}", headers={"HX-Request": "true"})
        seen += names(page)
        more = page.html.select_one(".more a")
        link = more["href"] if more else ""
    assert seen == [f"Image {number}" for number in range(6, -1, -1)]


def test_search_for_a_rare_name_continues_in_further_requests(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make.workspace()
    made = gallery(make, space, 6)
    monkeypatch.setattr(images, "SEARCH_BATCH", 2)
    monkeypatch.setattr(images, "SEARCH_SECONDS", 0)
    with make.database.transaction(space.id) as db:
        first = find_images(db, space.id, name="image 0")
        assert (first.images, first.before) == ([], made[4].id)
        second = find_images(db, space.id, name="image 0", before=first.before)
        third = find_images(db, space.id, name="image 0", before=second.before)
        assert [image.id for image in third.images] == [made[0].id]
        monkeypatch.setattr(images, "SEARCH_SECONDS", 60)
        assert [image.id for image in find_images(db, space.id, name="image 0").images] == [made[0].id]


def test_pages_show_thumbnails(app: TestApp, make: Factory, space: Workspace) -> None:
    image = make.image(make.template(space))
    local_bucket(make.services).put(image.key, jpeg(1200, 630), content_type="image/jpeg")
    source = app.get(f"/w/{space.slug}/images").html.select_one(".gallery img")["src"]
    answer = app.get(source)
    assert answer.content_type == "image/webp"
    assert "immutable" in answer.headers["Cache-Control"]
    small = pyvips.Image.new_from_buffer(answer.body, "")
    assert (small.width, small.height) == (480, 252)
    app.get(source, headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    wider = source.replace("width=480", "width=2000")
    assert app.get(wider, status=403).json["code"] == "invalid_signature"


def test_thumbnail_widths_are_limited(app: TestApp, make: Factory, space: Workspace) -> None:
    image = make.image(make.template(space))
    path = f"images/{space.id}/{image.id}.webp"
    for width in ("0", "15", "2001", "1e9", "-5", ""):
        address = make.services.signed_urls._signed(space.id, path, {"width": width})
        assert "width" in app.get(address, status=422).json["errors"]
    jpg = make.services.signed_urls._signed(space.id, path.replace(".webp", ".jpg"), {"width": "480"})
    app.get(jpg, status=404)


def test_stored_file_that_is_no_image_has_no_thumbnail(app: TestApp, make: Factory, space: Workspace) -> None:
    image = make.image(make.template(space))
    local_bucket(make.services).put(image.key, b"<svg/>", content_type="image/jpeg")
    answer = app.get(make.services.signed_urls.thumbnail(image), status="*")
    assert 400 <= answer.status_int < 500


@pytest.mark.parametrize(
    ("size", "expected"), [((1200, 630), (480, 252)), ((300, 200), (300, 200)), ((4000, 2), (480, 1))]
)
def test_thumbnail_is_never_larger_than_its_image(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = pyvips.Image.new_from_buffer(thumbnail(jpeg(*size), 480), "")
    assert (image.width, image.height) == expected


def test_thumbnail_keeps_transparency() -> None:
    clear = pyvips.Image.black(600, 400, bands=4).copy(interpretation="srgb").pngsave_buffer()
    image = pyvips.Image.new_from_buffer(thumbnail(clear, 300), "")
    assert (image.width, image.bands) == (300, 4)
    assert image.getpoint(10, 10)[3] == 0


def test_invalid_data_has_no_thumbnail() -> None:
    for data in (b"", b"nonsense", b"GIF89a"):
        with pytest.raises(InvalidImageError):
            thumbnail(data, 480)
