"""Read-only links of a template: the page that creates and revokes them, and what their holders see."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template, TemplateLink
from cwz_web.generation.template_links import (
    DEFAULT_DAYS,
    MAX_DAYS,
    TooManyLinksError,
    create_link,
    find_shared_design,
    list_links,
)
from cwz_web.generation.templates import TemplateDesign, find_version, list_versions, load_design
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Output
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.views.previews import MAX_ROW, sample_values, size_label, uploads_of
from cwz_web.views.version_comparison import DRAFT, Revision
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

PAGE, SHARED_PAGE = "templates/links.jinja2", "shared.jinja2"
IMAGE_WIDTH = 1600
# What is stored, in English, for a link that shows no row.
DEFAULT_SAMPLE = gettext_noop("Default values")


class LinkForm(Form):
    """What a link shows, and for how long."""

    version: Revision = DRAFT
    feed: UUID | Literal[""] = ""
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = DEFAULT_DAYS


class RevokeForm(Form):
    """A link."""

    link: UUID


@dataclass(frozen=True)
class LinksPage:
    """The view model of templates/links.jinja2.

    Attributes:
        links: the valid links, each with what its values are from.
        new_url: the link that was just created; it is not shown again.
    """

    template: Template
    form: SubmittedForm[Any]
    versions: list[tuple[int, str]]
    feeds: list[Feed]
    links: list[tuple[TemplateLink, str]]
    days: int
    max_days: int
    new_url: str


@dataclass(frozen=True)
class SharedSize:
    """A size of a shared template with the path of its image."""

    label: str
    width: int
    height: int
    image: str


@dataclass(frozen=True)
class SharedPage:
    """The view model of shared.jinja2; `link` and `name` are None if the link is not valid."""

    link: TemplateLink | None
    name: str | None
    sizes: list[SharedSize]


def _links_page(
    context: TemplateResource, request: Request, form: SubmittedForm[LinkForm], new_url: str = ""
) -> LinksPage:
    template = context.row
    return LinksPage(
        template=template,
        form=form,
        versions=[(version.number, version.name) for version, _ in list_versions(request.db, template)],
        feeds=list_feeds(request.db, template.workspace_id),
        links=[(link, _describe_sample(link)) for link in list_links(request.db, template)],
        days=DEFAULT_DAYS,
        max_days=MAX_DAYS,
        new_url=new_url,
    )


def _describe_sample(link: TemplateLink) -> str:
    return gettext(DEFAULT_SAMPLE) if link.sample == DEFAULT_SAMPLE else link.sample


@view_config(
    context=TemplateResource, name="links", request_method="GET", renderer=PAGE, permission=Permission.TEMPLATE_EDIT
)
def links_page(context: TemplateResource, request: Request) -> LinksPage:
    """Show the valid links, and the form of a new one."""
    return _links_page(context, request, empty_form())


@form_view(
    LinkForm,
    _links_page,
    context=TemplateResource,
    name="links",
    renderer=PAGE,
    permission=Permission.TEMPLATE_EDIT,
    requires_recent_auth=True,
)
def share_template(context: TemplateResource, request: Request, form: LinkForm) -> LinksPage:
    """Create a link and show it once."""
    template = context.row
    if template.deleted_at is not None:
        raise FieldError("version", gettext("This template was deleted. Restore it first"))
    version = None if form.version == DRAFT else int(form.version)
    if version is not None and find_version(request.db, template, version) is None:
        raise FieldError("version", gettext("Choose one of the template's versions"))
    design = load_design(request.db, template, version) if version else load_draft(request.db, template)
    sample, values = _read_sample(request, form, design)
    try:
        link, token = create_link(
            request.db,
            template,
            version=version,
            sample=sample,
            values=values,
            days=form.days,
            created_by=request.user.account,
        )
    except TooManyLinksError as error:
        raise FieldError("version", str(error)) from None
    shown = f"version {version}" if version else DRAFT
    request.audit("template.share", template.name, shows=shown, sample=sample, expires=f"{link.expires_at:%Y-%m-%d}")
    url = f"{request.services.settings.url}/shared?{urlencode({'token': token})}"
    return _links_page(context, request, empty_form(), url)


@view_config(context=TemplateResource, name="revoke-link", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def revoke_link(context: TemplateResource, request: Request) -> Response:
    """Delete a link, which is invalid at once."""
    form, template = read_form(RevokeForm, request.POST), context.row
    link = request.db.get(TemplateLink, (template.workspace_id, form.value.link)) if form.value else None
    if link is None or link.template_id != template.id:
        raise HTTPUnprocessableEntity(gettext("This link was revoked already, or has expired"))
    request.db.delete(link)
    request.audit("template.share_revoke", template.name, sample=link.sample)
    return HTTPSeeOther(request.path_in("templates", template.id, "links"))


@view_config(
    context=Root,
    name="shared",
    request_method="GET",
    renderer=SHARED_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="shared-template",
)
def shared_page(context: Root, request: Request) -> SharedPage:
    """Show the template of a link in all sizes, and nothing else of its workspace."""
    request.response.headers["X-Robots-Tag"] = "noindex, nofollow"
    token = request.GET.get("token", "")
    found = find_shared_design(request.db, token)
    if found is None:
        request.response.status = 404
        return SharedPage(None, None, [])
    link, design = found
    sizes = []
    for name in design.document.size_names:
        canvas = design.document.in_size(name).canvas
        image = f"/shared-image?{urlencode({'token': token, 'size': name})}"
        sizes.append(SharedSize(size_label(design.document, name), canvas.width, canvas.height, image))
    return SharedPage(link, design.template.name, sizes)


@view_config(
    context=Root,
    name="shared-image",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="shared-image",
)
def shared_image(context: Root, request: Request) -> Response:
    """Return the image of a link in one size. No cache keeps it: a revoked link shows nothing."""
    found = find_shared_design(request.db, request.GET.get("token", ""))
    if found is None:
        raise HTTPNotFound
    link, design = found
    uploads, size = uploads_of(request, design.template), request.GET.get("size", "")[:40] or DEFAULT_SIZE
    release_connection(request)  # rendering may fetch photos
    image_service, output = request.services.image_service, Output(size=size)
    # Links can be passed on to anyone: their holders leave threads to all other requests.
    with request.services.shared_images.slot(*find_subjects(request, ["network"]).items()):
        image = image_service.prepare(uploads, design.document, link.values, output)
        body = image_service.preview(image, IMAGE_WIDTH)
    response = Response(body, content_type=output.format.content_type)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _read_sample(request: Request, form: LinkForm, design: TemplateDesign) -> tuple[str, dict[str, str]]:
    """Return what the values of a link are from, and the values; the former is stored, in English."""
    if not form.feed:
        return DEFAULT_SAMPLE, {}
    feed = request.db.get(Feed, (request.workspace.workspace_id, form.feed))
    if feed is None or feed.deleted_at is not None:
        raise FieldError("feed", gettext("Choose one of the workspace's feeds"))
    if form.row > feed.item_count:
        message = ngettext("%(name)s has %(count)s row", "%(name)s has %(count)s rows", feed.item_count, name=feed.name)
        raise FieldError("row", message)
    return f"Row {form.row} of {feed.name}", sample_values(request, design.document, feed.id, form.row)
