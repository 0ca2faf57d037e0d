"""What machines read of the public pages: robots.txt, the sitemap, llms.txt and a preview image."""

from functools import lru_cache

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.demo.starters import StarterUploads, open_starter
from cwz_web.generation.image_service import ImageService
from cwz_web.guides import GUIDES, PARTS, Guide
from cwz_web.imaging.encoders import Format, Output
from cwz_web.notify.emails import PRODUCT
from cwz_web.resources.application import Root
from cwz_web.views.docs import REFERENCE, DocsLink
from cwz_web.web.request import Request

PAGES = ("", "docs", "docs/api", "docs/models", *(guide.url[1:] for guide in GUIDES.values()), "security", "changelog")
SUMMARY = (
    "Renders images from templates and rows of feeds, through pages, an API and an MCP server, into the storage of its "
    "users. Every page of this list that ends in .md is Markdown."
)
# The preview image: a starter of 1200 x 630, the size of Open Graph images, with our own texts.
CARD = "social-card"
CARD_VALUES = {"title": "Turn every row into an image", "category": PRODUCT, "author": "In your own bucket", "date": ""}
CACHE_CONTROL = "public, max-age=86400"


@view_config(context=Root, name="robots.txt", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def robots_txt(context: Root, request: Request) -> Response:
    """Return where the sitemap is (RFC 9309). Pages of workspaces need no rule: they redirect to the sign-in page."""
    url = request.services.settings.url
    lines = ("User-agent: *", "Allow: /", f"Sitemap: {url}/sitemap.xml")
    return Response("".join(f"{line}\n" for line in lines), content_type="text/plain", charset="utf-8")


@view_config(context=Root, name="sitemap.xml", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def sitemap(context: Root, request: Request) -> Response:
    """Return the public pages that this installation has (sitemaps.org, protocol 0.9)."""
    settings = request.services.settings
    pages = "".join(f"<url><loc>{settings.url}/{page}</loc></url>" for page in (*PAGES, *settings.public_pages))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}</urlset>\n'
    )
    return Response(text, content_type="application/xml", charset="utf-8")


@view_config(context=Root, name="llms.txt", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def llms_txt(context: Root, request: Request) -> Response:
    """Return the pages of the documentation that AI assistants can read (llmstxt.org), with absolute URLs."""
    url = request.services.settings.url
    parts: dict[str, tuple[Guide | DocsLink, ...]] = {**PARTS, "Reference": REFERENCE}
    text = f"# {PRODUCT}\n\n> {SUMMARY}\n"
    for title, pages in parts.items():
        text += f"\n## {title}\n\n"
        for page in pages:
            path = f"{page.url}.md" if isinstance(page, Guide) else page.url
            text += f"- [{page.label}]({url}{path}): {page.about}\n"
    return Response(text, content_type="text/plain", charset="utf-8")


@view_config(context=Root, name="og-image.jpg", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def open_graph_image(context: Root, request: Request) -> Response:
    """Return the image that social networks show beside a link to a public page."""
    response = Response(content_type=Format.JPEG.content_type, conditional_response=True)
    response.etag, response.body = _render_card(request.services.image_service)
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response


@lru_cache(maxsize=1)
def _render_card(image_service: ImageService) -> tuple[str, bytes]:
    """Return the digest of the preview image and the image, which each process renders once."""
    starter = open_starter(CARD)
    output = Output(format=Format.JPEG)
    prepared = image_service.prepare(StarterUploads(starter), starter.document, CARD_VALUES, output)
    return prepared.digest, image_service.preview(prepared)
