"""Caching and limits of signed URLs: no cache keeps an image longer than its URL is valid."""

import dataclasses
import re
import time
from collections.abc import Callable

import pytest
from webtest import TestApp

from cwz_web.imaging.encoders import Format
from cwz_web.web.rate_limits import RateLimiter
from cwz_web.web.services import Services
from tests.factories import Factory, jpeg, local_bucket


@pytest.fixture
def sign(make: Factory) -> Callable[..., str]:
    """Return the signed URL of an image of each class below `/i/`, with more parameters."""
    space = make.workspace()
    template = make.template(space)
    image = make.image(template)
    local_bucket(make.services).put(image.key, jpeg(), content_type="image/jpeg")
    path = f"images/{space.id}/{image.id}"
    paths: dict[str, tuple[str, dict[str, str]]] = {
        "published": (f"{template.id}.{Format.PNG}", {"title": "x"}),
        "version": (f"{template.id}.{Format.PNG}", {"title": "x", "_version": "1"}),
        "stored": (f"{path}.jpg", {}),
        "thumbnail": (f"{path}.webp", {"width": "48"}),
    }

    def signed(name: str, **more: str) -> str:
        path, parameters = paths[name]
        return make.services.signed_urls._signed(space.id, path, parameters | more)

    return signed


@pytest.mark.parametrize("name", ["published", "version", "stored", "thumbnail"])
@pytest.mark.parametrize("seconds", [20, 100, 10**9])
def test_image_is_cached_until_its_url_expires(app: TestApp, sign: Callable[..., str], name: str, seconds: int) -> None:
    longest = 300 if name == "published" else 31_536_000
    expiry = int(time.time()) + seconds
    url = sign(name, e=str(expiry))
    answer = app.get(url)
    for response in (answer, app.get(url, headers={"If-None-Match": answer.headers["ETag"]}, status=304)):
        cache_control = response.headers["Cache-Control"]
        [age] = map(int, re.findall(r"max-age=(\d+)", cache_control))
        assert age <= min(longest, seconds)
        assert time.time() + age <= expiry + 1 or age == longest
        assert "immutable" not in cache_control


@pytest.mark.parametrize(("name", "is_immutable"), [("published", False), ("version", True), ("stored", True)])
def test_url_without_expiry(app: TestApp, sign: Callable[..., str], name: str, is_immutable: bool) -> None:
    assert ("immutable" in app.get(sign(name)).headers["Cache-Control"]) == is_immutable


@pytest.mark.parametrize("limit", ["signed-image.template", "signed-image.network"])
def test_rendering_for_signed_urls_is_limited(
    services: Services, app_with: Callable[[Services], TestApp], sign: Callable[..., str], limit: str
) -> None:
    """A client with a signed URL of a template with free parameters cannot occupy the renderers; the cache is free."""
    browser = app_with(dataclasses.replace(services, limiter=RateLimiter("memory://", {limit: "2 per minute"})))
    urls = [sign("published", title=str(number)) for number in range(3)]
    assert [browser.get(url, status="*").status_int for url in (*urls, urls[0])] == [200, 200, 429, 200]


@pytest.mark.parametrize("limit", ["stored-image.workspace", "stored-image.network"])
def test_reading_stored_images_is_limited(
    services: Services, app_with: Callable[[Services], TestApp], sign: Callable[..., str], limit: str
) -> None:
    browser = app_with(dataclasses.replace(services, limiter=RateLimiter("memory://", {limit: "2 per minute"})))
    urls = [sign("stored"), sign("thumbnail"), sign("stored")]
    assert [browser.get(url, status="*").status_int for url in urls] == [200, 200, 429]
