"""Templates: list, preview, document, versions, unsigned URLs, and actions on a whole template."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field, field_validator
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.campaigns.campaign_list import find_campaigns_with_template
from cwz_web.campaigns.models import Campaign
from cwz_web.generation.brand import load_brand
from cwz_web.generation.drafts import discard_draft, has_draft
from cwz_web.generation.models import Template, TemplateVersion
from cwz_web.generation.templates import (
    TemplateDesign,
    create_template,
    find_version,
    list_tags,
    list_versions,
    load_design,
    publish,
)
from cwz_web.i18n import gettext, ngettext
from cwz_web.imaging.encoders import Format
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection, TemplateResource
from cwz_web.runs.template_uses import TEMPLATE_SORTS, UsedTemplate, find_templates
from cwz_web.storage.connections import get_connection, list_connections
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.views.template_comments import CommentsPage, describe_comments
from cwz_web.web.document_errors import read_document
from cwz_web.web.forms import Form, Name, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.lists import (
    Filter,
    ListControls,
    ListForm,
    choose_sort,
    keep_url,
    list_path,
    read_list_form,
    sent_place,
)
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

MAX_TAG_LENGTH = 30


class TemplateListForm(ListForm):
    """Which templates are shown."""

    state: Literal["", "deleted"] = ""
    tag: Annotated[str, Field(max_length=MAX_TAG_LENGTH)] = ""


@dataclass(frozen=True)
class TemplateListPage:
    """The view model of templates/list.jinja2 and templates/_list.jinja2."""

    templates: list[UsedTemplate]
    list: ListControls


@dataclass(frozen=True)
class TemplatePage:
    """The view model of templates/show.jinja2.

    Attributes:
        values: The value of each field, as typed or by default.
        changed: The values that differ from the defaults.
        preview: The path of the image.
        campaigns: The campaigns that use it, if it was deleted.
    """

    design: TemplateDesign
    values: dict[str, str]
    changed: dict[str, str]
    preview: str
    base_url: str
    connections: list[Connection]
    campaigns: list[Campaign]


@dataclass(frozen=True)
class DocumentPage:
    """The view model of templates/document.jinja2; the form's errors are by path in the document."""

    template: Template
    form: SubmittedForm[Any]


@dataclass(frozen=True)
class VersionsPage:
    """The view model of templates/versions.jinja2: the versions with their publishers, newest first."""

    template: Template
    has_draft: bool
    versions: list[tuple[TemplateVersion, str | None]]
    discussion: CommentsPage


@dataclass(frozen=True)
class UnsignedUrlsPage:
    """The view model of templates/unsigned_urls.jinja2.

    Attributes:
        allowed: The parameters that an unsigned URL may set; None while unsigned URLs are denied.
        parameters: Labels of all parameters by name.
    """

    design: TemplateDesign
    example_url: str
    allowed: list[str] | None
    parameters: dict[str, str]
    has_image_fields: bool


class StorageForm(Form):
    """A connection; empty for the workspace's default."""

    storage: UUID | Literal[""] = ""


class NameForm(Form):
    """A new name. The slug, which API requests use, stays the same."""

    model_config = ConfigDict(extra="ignore")  # a form on the list sends its place in the list

    name: Name


class VersionForm(Form):
    """A version number."""

    version: Annotated[int, Field(ge=1)]


class VersionNameForm(VersionForm):
    """A version and its name; empty for none."""

    name: Annotated[str, Field(max_length=60)] = ""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(gettext("Use letters, digits and common punctuation only"))
        return name


class UnsignedUrlsForm(Form):
    """Whether unsigned URLs are allowed; the parameters are check boxes of their own (`unsigned.<name>`)."""

    model_config = ConfigDict(extra="ignore")

    do: Literal["allow", "deny"]


@page_view("templates/list.jinja2", "templates/_list.jinja2", context=TemplateCollection, permission=Permission.VIEW)
def list_templates_page(context: TemplateCollection, request: Request) -> TemplateListPage:
    """List the templates, each rendered with its default values."""
    form = read_list_form(TemplateListForm, request)
    sort = choose_sort(TEMPLATE_SORTS, form.sort)
    page = find_templates(
        request.db,
        request.workspace.workspace_id,
        search=form.search,
        tag=form.tag,
        is_deleted=form.state == "deleted",
        sort=sort,
        after=form.after or None,
    )
    controls = ListControls(
        noun="templates",
        search=form.search,
        filters=(
            Filter("state", gettext("State"), {"": gettext("Active"), "deleted": gettext("Deleted")}, form.state),
            *_tag_filter(request, form.tag),
        ),
        sorts=TEMPLATE_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
    )
    keep_url(request, controls)
    return TemplateListPage(page.rows, controls)


def _tag_filter(request: Request, chosen: str) -> list[Filter]:
    """Return the filter by tag, if there are tags."""
    tags = list_tags(request.db, request.workspace.workspace_id)
    options = {"": gettext("All tags"), **{tag: tag for tag in tags}}
    return [Filter("tag", gettext("Tag"), options, chosen)] if tags or chosen else []


@page_view("templates/show.jinja2", "templates/_preview.jinja2", context=TemplateResource, permission=Permission.VIEW)
def show_template(context: TemplateResource, request: Request) -> TemplatePage:
    """Show a template, rendered with the values of the form beside it."""
    design = load_design(request.db, context.row)
    fields = design.document.fields
    values = {field.name: request.GET.get(field.name, field.default)[:2000] for field in fields}
    changed = {field.name: values[field.name] for field in fields if values[field.name] != field.default}
    return TemplatePage(
        design=design,
        values=values,
        preview=preview_path(request, design, changed),
        changed=changed,
        base_url=request.services.settings.url,
        connections=list_connections(request.db, request.workspace.workspace_id),
        campaigns=find_campaigns_with_template(request.db, context.row) if context.row.deleted_at else [],
    )


@view_config(context=TemplateResource, name="name", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def rename_template(context: TemplateResource, request: Request) -> Response:
    """Rename the template."""
    form = read_form(NameForm, request.POST)
    if form.value is None:
        problem = form.errors.get("name", gettext("enter a name"))
        raise HTTPUnprocessableEntity(gettext("Name: %(problem)s", problem=problem))
    earlier = context.row.name
    _rename(request, context.row, form.value.name)
    if context.row.name != earlier:
        text = gettext("Renamed to “%(name)s”.", name=context.row.name)
        add_template_notice(request, context.row, text, "name", name=earlier)
    return redirect_to_template(request, context.row)


@dataclass(frozen=True)
class NamePart:
    """The view model of editor/_name.jinja2."""

    template: Template
    form: SubmittedForm[Any]


def _name_part(context: TemplateResource, _request: Request, form: SubmittedForm[Any]) -> NamePart:
    return NamePart(context.row, form)


@form_view(
    NameForm,
    _name_part,
    context=TemplateResource,
    name="name",
    renderer="editor/_name.jinja2",
    partial=True,
    permission=Permission.TEMPLATE_EDIT,
)
def rename_in_editor(context: TemplateResource, request: Request, form: NameForm) -> NamePart:
    """Rename the template from the bar of the editor."""
    _rename(request, context.row, form.name)
    return _name_part(context, request, empty_form())


def _rename(request: Request, template: Template, name: str) -> None:
    if name != template.name:
        request.audit("template.rename", template.name, to=name)
        template.name = name


@view_config(context=TemplateResource, name="storage", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def choose_connection(context: TemplateResource, request: Request) -> Response:
    """Choose the connection that stores the template's new images."""
    form = read_form(StorageForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Choose one of the workspace's connections"))
    template = context.row
    connection_id = form.value.storage or None
    try:
        name = get_connection(request.db, template.workspace_id, connection_id).name
    except InvalidSettingsError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    earlier = str(template.connection_id or "")
    template.connection_id = connection_id
    request.audit("template.storage", template.name, storage=name)
    text = gettext("New images are stored in “%(name)s”.", name=name)
    add_template_notice(request, template, text, "storage", storage=earlier)
    return HTTPSeeOther(request.path_in("templates", template.id))


@view_config(
    context=TemplateResource,
    name="document",
    request_method="GET",
    renderer="templates/document.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def document_page(context: TemplateResource, request: Request) -> DocumentPage:
    """Show the document as JSON."""
    document = load_design(request.db, context.row).document
    return DocumentPage(context.row, SubmittedForm(None, {}, {"document": document.to_json()}))


@view_config(
    context=TemplateResource,
    name="document",
    request_method="POST",
    renderer="templates/document.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def publish_document(context: TemplateResource, request: Request) -> DocumentPage | Response:
    """Publish a document as the next version. Its errors are by path in the document, not by form field."""
    text = request.POST.get("document", "")
    document, errors = read_document(text, load_brand(request.db, context.row.workspace_id).brand)
    if document is None:
        request.response.status = 422
        return DocumentPage(context.row, SubmittedForm(None, errors, {"document": text}))
    discard_draft(request.db, context.row)
    publish(request.db, context.row, document, request.user.account.id)
    request.audit("template.edit", context.row.name, version=context.row.version)
    return HTTPSeeOther(request.path_in("templates", context.row.id))


@view_config(context=TemplateResource, name="template.json", request_method="GET", permission=Permission.VIEW)
def export_template(context: TemplateResource, request: Request) -> Response:
    """Return the document as a file that can be imported elsewhere."""
    template = context.row
    content = load_design(request.db, template).document.to_json().encode()
    response = Response(content, content_type="application/json")
    response.content_disposition = f'attachment; filename="{template.slug}.json"'
    return response


@view_config(
    context=TemplateResource,
    name="versions",
    request_method="GET",
    renderer="templates/versions.jinja2",
    permission=Permission.VIEW,
)
def list_versions_page(context: TemplateResource, request: Request) -> VersionsPage:
    """List the versions with previews."""
    template = context.row
    discussion = describe_comments(request, template, empty_form())
    return VersionsPage(template, has_draft(template), list_versions(request.db, template), discussion)


@view_config(context=TemplateResource, name="versions", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def restore_version(context: TemplateResource, request: Request) -> Response:
    """Publish an earlier version again as the newest; later ones stay in the list."""
    form = read_form(VersionForm, request.POST)
    template = context.row
    try:
        document = load_design(request.db, template, form.value.version).document if form.value else None
    except NoResultFound:
        document = None
    if form.value is None or document is None:
        raise HTTPUnprocessableEntity(gettext("Choose one of the template's versions"))
    discard_draft(request.db, template)
    earlier = str(template.version)
    publish(request.db, template, document, request.user.account.id)
    request.audit("template.rollback", template.name, to=form.value.version, version=template.version)
    text = gettext("Version %(number)s is published again.", number=form.value.version)
    add_template_notice(request, template, text, "versions", version=earlier)
    return HTTPSeeOther(request.path_in("templates", template.id, "versions"))


@view_config(context=TemplateResource, name="version-name", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def rename_version(context: TemplateResource, request: Request) -> Response:
    """Name a version, or remove its name."""
    form, template = read_form(VersionNameForm, request.POST), context.row
    if form.value is None:
        problem = form.errors.get("name", gettext("choose one of the template versions"))
        raise HTTPUnprocessableEntity(gettext("Name: %(problem)s", problem=problem))
    version = find_version(request.db, template, form.value.version)
    if version is None:
        raise HTTPUnprocessableEntity(gettext("Choose one of the template's versions"))
    version.name = form.value.name
    request.audit("template.version_name", template.name, version=version.number, name=version.name)
    return HTTPSeeOther(request.path_in("templates", template.id, "versions"))


@view_config(
    context=TemplateResource,
    name="unsigned-urls",
    request_method="GET",
    renderer="templates/unsigned_urls.jinja2",
    permission=Permission.KEY_MANAGE,
)
def unsigned_urls_page(context: TemplateResource, request: Request) -> UnsignedUrlsPage:
    """Show which parameters an unsigned URL may set."""
    design = load_design(request.db, context.row)
    allowed = context.row.unsigned_parameters
    values = {field.name: field.default for field in design.document.fields if field.name in (allowed or ())}
    url = f"{request.services.settings.url}/i/{context.row.id}.jpg"
    return UnsignedUrlsPage(
        design=design,
        example_url=f"{url}?{urlencode(values)}" if values else url,
        allowed=allowed,
        parameters=_parameter_labels(design),
        has_image_fields=any(field.type == "image" for field in design.document.fields),
    )


@view_config(
    context=TemplateResource,
    name="unsigned-urls",
    request_method="POST",
    permission=Permission.KEY_MANAGE,
    requires_recent_auth=True,
)
def change_unsigned_urls(context: TemplateResource, request: Request) -> Response:
    """Allow unsigned URLs with the checked parameters, or deny them."""
    form = read_form(UnsignedUrlsForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Choose whether to allow unsigned URLs"))
    template = context.row
    names = _parameter_labels(load_design(request.db, template))
    is_allowed = form.value.do == "allow"
    template.unsigned_parameters = [name for name in names if f"unsigned.{name}" in form.typed] if is_allowed else None
    request.audit(
        "template.allow_unsigned" if is_allowed else "template.deny_unsigned",
        template.name,
        parameters=template.unsigned_parameters or [],
    )
    return HTTPSeeOther(request.path_in("templates", template.id, "unsigned-urls"))


def _parameter_labels(design: TemplateDesign) -> dict[str, str]:
    """Return the parameters of an image URL with their labels."""
    fields = {field.name: field.label for field in design.document.fields}
    sizes = {"_size": gettext("Size, by name")} if len(design.document.size_names) > 1 else {}
    return fields | sizes | {"_scale": gettext("Scale, 1 to 3"), "_quality": gettext("Quality, 1 to 100")}


@view_config(context=TemplateResource, name="duplicate", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def duplicate_template(context: TemplateResource, request: Request) -> Response:
    """Create a copy of the template."""
    design = load_design(request.db, context.row)
    copy = create_template(
        request.db,
        context.row.workspace_id,
        name=context.row.name,
        document=design.document,
        published_by=request.user.account.id,
    )
    copy.connection_id, copy.tags = context.row.connection_id, context.row.tags
    request.audit("template.create", copy.name, copy_of=context.row.name)
    add_template_notice(request, copy, gettext("Created “%(name)s”.", name=copy.name), "delete")
    return redirect_to_template(request, copy)


@view_config(context=TemplateResource, name="delete", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def delete_template(context: TemplateResource, request: Request) -> Response:
    """Delete the template; its page offers to restore it."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("template.delete", context.row.name)
    text = gettext("Deleted “%(name)s”.", name=context.row.name)
    campaigns = find_campaigns_with_template(request.db, context.row)
    if campaigns:
        names = ", ".join(campaign.name for campaign in campaigns)
        text = ngettext(
            "Deleted “%(name)s”. The campaign %(campaigns)s uses it, and prepares nothing until you restore it.",
            "Deleted “%(name)s”. The campaigns %(campaigns)s use it, and prepare nothing until you restore it.",
            len(campaigns),
            name=context.row.name,
            campaigns=names,
        )
    add_template_notice(request, context.row, text, "restore")
    return redirect_to_template(request, context.row)


@view_config(context=TemplateResource, name="restore", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def restore_template(context: TemplateResource, request: Request) -> Response:
    """Restore a deleted template."""
    context.row.deleted_at = None
    request.audit("template.restore", context.row.name)
    add_template_notice(request, context.row, gettext("Restored “%(name)s”.", name=context.row.name), "delete")
    return redirect_to_template(request, context.row)


def add_template_notice(request: Request, template: Template, text: str, undo: str, **fields: str) -> None:
    """Say what was done, with the name of the view that undoes it, which leads to the same place of the list."""
    place = sent_place(request)
    kept = fields if place is None else fields | {"list": place}
    add_notice(request, text, undo=request.path_in("templates", template.id, undo), **kept)


def redirect_to_template(request: Request, template: Template) -> Response:
    """Redirect to the list, at the place that a form on it has sent, or else to the template."""
    place = sent_place(request)
    if place is not None:
        return HTTPSeeOther(list_path(request, "templates", place))
    return HTTPSeeOther(request.path_in("templates", template.id))


def preview_path(request: Request, design: TemplateDesign, data: dict[str, str]) -> str:
    """Return the path of the template's image, signed for use anywhere."""
    template = design.template
    return request.services.signed_urls.on_demand_image(template.workspace_id, template.id, Format.JPEG, data)
