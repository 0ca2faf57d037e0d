"""The front page: starters that the engine has rendered, and a live example that visitors type into."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import StringConstraints
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.demo.live_example import PRODUCTS, open_live_example
from cwz_web.demo.starters import Starter, StarterUploads, list_starters, open_starter
from cwz_web.generation.image_service import ImageService
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.luminance import relative_luminance
from cwz_web.resources.application import Root
from cwz_web.security import SignedInUser
from cwz_web.views.landing_facts import (
    COMPARED,
    COMPARED_ON,
    RENDERERS,
    SPEED_DATE,
    ComparisonRow,
    Source,
    SpeedRow,
    comparison_rows,
    list_sources,
    speed_rows,
)
from cwz_web.views.sign_in import DemoCredentials, demo_credentials
from cwz_web.web.fields import Fields
from cwz_web.web.forms import Form, SubmittedForm, read_form, read_query
from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.workspaces.invitations import list_open_invitations

# The starter whose sample rows open the page, and those of the gallery.
HERO = "product-ad"
GALLERY = (
    "catalog-card",
    "sale-number",
    "review-card",
    "price-drop",
    "travel-deal",
    "job-card",
    "apartment",
    "event-invitation",
)
# Widths in pixels: as displayed, and for high-density screens.
WIDTHS = (280, 560)
LIVE_WIDTH = 560
# The sizes of the live example with their labels.
LIVE_SIZES = {
    DEFAULT_SIZE: gettext_noop("Square, 1080 × 1080"),
    "story": gettext_noop("Story, 1080 × 1920"),
    "link": gettext_noop("Link, 1200 × 628"),
}
DARK, LIGHT = "#14170a", "#ffffff"
# Black and white have the same contrast to a color of this luminance (WCAG 2.2).
MIDDLE = 0.179
CACHE_CONTROL = "public, max-age=86400"
MAX_CACHED = 64


class LiveExample(Form):
    """What a visitor types: values of the example's fields. None of them is a URL."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=60)] = "Runner Coast 2"
    price: Annotated[str, StringConstraints(min_length=1, max_length=20)] = "129 EUR"
    color: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")] = "#d9f24a"
    product: Literal["sneaker", "headphones", "serum", "armchair"] = "sneaker"

    @property
    def values(self) -> dict[str, str]:
        """The values of the example's fields."""
        ink = DARK if relative_luminance(parse_color(self.color)[0]) > MIDDLE else LIGHT
        photo = open_live_example().rows[list(PRODUCTS).index(self.product)]
        return {**photo, "title": self.title, "price": self.price, "color": self.color, "ink": ink}


class LiveImageQuery(LiveExample):
    """An image of the live example."""

    size: Literal["default", "story", "link"] = "default"


@dataclass(frozen=True)
class StarterImage:
    """A starter in a size with one of its sample rows."""

    slug: str
    size: str
    row: int

    def query(self, width: int) -> str:
        """Return the query of the image's URL, which changes with the starter."""
        version = list_starters()[self.slug].version
        values = {"name": self.slug, "size": self.size, "row": self.row, "width": width, "version": version}
        return urlencode(values)


@dataclass(frozen=True)
class PageImage:
    """An image of the page, with its size in pixels."""

    label: str
    src: str
    srcset: str
    width: int
    height: int


@dataclass(frozen=True)
class HeroRow:
    """A row of data, and the image that is rendered from it."""

    title: str
    price: str
    image: PageImage


@dataclass(frozen=True)
class LandingPage:
    """What public/landing.jinja2 shows.

    Attributes:
        form: what the visitor typed into the live example.
        example: the values that the images of the live example have.
    """

    demo: DemoCredentials | None
    hero: list[HeroRow]
    form: SubmittedForm[LiveExample]
    example: LiveExample
    live_images: list[PageImage]
    products: dict[str, str]
    gallery: list[PageImage]
    starter_count: int
    renderers: tuple[str, ...]
    speed: list[SpeedRow]
    speed_date: date
    compared: tuple[str, ...]
    comparison: list[ComparisonRow]
    compared_on: date
    sources: list[Source]


@page_view("public/landing.jinja2", "public/_live_images.jinja2", context=Root, permission=NO_PERMISSION_REQUIRED)
def landing(context: Root, request: Request) -> LandingPage | HTTPSeeOther:
    """Show the front page; redirect a signed-in user to the first workspace, or to the form that creates it."""
    if isinstance(request.identity, SignedInUser):
        return HTTPSeeOther(_start_path(request, request.identity))
    typed = [(name, value) for name, value in request.GET.items() if name in LiveExample.model_fields]
    form = read_form(LiveExample, Fields(typed))
    example = form.value or LiveExample()
    return LandingPage(
        demo=demo_credentials(request),
        hero=_hero_rows(),
        form=form,
        example=example,
        live_images=_live_images(example),
        products=translate_labels(PRODUCTS),
        gallery=[_page_image(image, list_starters()[image.slug].name) for image in _gallery_images()],
        starter_count=len(list_starters()),
        renderers=RENDERERS,
        speed=speed_rows(),
        speed_date=SPEED_DATE,
        compared=COMPARED,
        comparison=comparison_rows(),
        compared_on=COMPARED_ON,
        sources=list_sources(),
    )


@view_config(context=Root, name="showcase", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def showcase(context: Root, request: Request) -> Response:
    """Return an image of the front page: a starter with one of its sample rows, as the page shows it."""
    shown = _shown_images().get(request.query_string)
    if shown is None:
        raise HTTPNotFound
    image, width = shown
    return _image_response(*_render_starter(request.services.image_service, image, width))


@view_config(
    context=Root,
    name="live-image",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="live-image",
)
def live_image(context: Root, request: Request) -> Response:
    """Return the live example with what a visitor typed: a fixed design, of which no value is a URL."""
    query = read_query(LiveImageQuery, request.GET)
    with request.services.shared_images.slot(*find_subjects(request, ["network"]).items()):
        digest, image = _render_example(request.services.image_service, query)
    response = _image_response(digest, image)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _start_path(request: Request, user: SignedInUser) -> str:
    if user.workspaces:
        return f"/w/{user.workspaces[0].slug}"
    has_choice = not user.session.is_own or list_open_invitations(request.db, user.account)
    return "/w" if has_choice else "/w/new"


def _hero_images() -> list[StarterImage]:
    return [StarterImage(HERO, DEFAULT_SIZE, row) for row in range(list_starters()[HERO].rows)]


def _gallery_images() -> list[StarterImage]:
    """Return the starters of the gallery, each in its square size, so that all are aligned."""
    sizes = {slug: list_starters()[slug].sizes for slug in GALLERY}
    squares = {slug: next(size.name for size in sizes[slug] if size.width == size.height) for slug in GALLERY}
    return [StarterImage(slug, square, 0) for slug, square in squares.items()]


@lru_cache(maxsize=1)
def _shown_images() -> dict[str, tuple[StarterImage, int]]:
    """Return all images of the page with their widths by their query: no other one is rendered."""
    images = (*_hero_images(), *_gallery_images())
    return {image.query(width): (image, width) for image in images for width in WIDTHS}


def _hero_rows() -> list[HeroRow]:
    starter = open_starter(HERO)
    rows = []
    for image, row in zip(_hero_images(), starter.rows, strict=True):
        values = {field.name: str(field.default) for field in starter.entry.fields} | dict(row)
        rows.append(HeroRow(values["title"], values["price"], _page_image(image, values["title"])))
    return rows


def _page_image(image: StarterImage, label: str) -> PageImage:
    size = next(each for each in list_starters()[image.slug].sizes if each.name == image.size)
    sources = {width: f"/showcase?{image.query(width)}" for width in WIDTHS}
    srcset = ", ".join(f"{source} {width}w" for width, source in sources.items())
    return PageImage(label, sources[WIDTHS[0]], srcset, size.width, size.height)


def _live_images(example: LiveExample) -> list[PageImage]:
    images = []
    for name, label in LIVE_SIZES.items():
        canvas = open_live_example().document.in_size(name).canvas
        path = f"/live-image?{urlencode({**example.model_dump(), 'size': name})}"
        images.append(PageImage(gettext(label), path, "", canvas.width, canvas.height))
    return images


@lru_cache(maxsize=MAX_CACHED)
def _render_starter(image_service: ImageService, image: StarterImage, width: int) -> tuple[str, bytes]:
    """Return the digest and the image of a starter; each is rendered once per process."""
    starter = open_starter(image.slug)
    return _render(image_service, starter, dict(starter.rows[image.row]), image.size, width)


@lru_cache(maxsize=MAX_CACHED)
def _render_example(image_service: ImageService, query: LiveImageQuery) -> tuple[str, bytes]:
    """Return the digest and an image of the live example; what visitors see first is rendered once per process."""
    return _render(image_service, open_live_example(), query.values, query.size, LIVE_WIDTH)


def _render(
    image_service: ImageService, starter: Starter, values: dict[str, str], size: str, width: int
) -> tuple[str, bytes]:
    output = Output(size=size, format=Format.WEBP)
    prepared = image_service.prepare(StarterUploads(starter), starter.document, values, output)
    return f"{prepared.digest}-{width}", image_service.preview(prepared, width)


def _image_response(digest: str, image: bytes) -> Response:
    response = Response(content_type=Format.WEBP.content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.body = image
    return response
