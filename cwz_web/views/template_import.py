"""Import of templates: our own documents, and JSON of other services, with a report before anything is saved.

A request of another service is shown as one of ours.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field
from pyramid.response import Response

from cwz_web.generation.brand import adopt_brand, load_brand
from cwz_web.generation.drafts import create_draft
from cwz_web.generation.templates import create_template
from cwz_web.generation.uploads import list_fonts
from cwz_web.i18n import gettext, translate_labels
from cwz_web.imaging.document_length import MAX_DOCUMENT_LENGTH
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.importers.builder import ImportedTemplate, ImportOptions
from cwz_web.importers.detection import JsonKind, find_kind
from cwz_web.importers.report import OUTCOME_LABELS, InvalidImportError, Outcome, Report, ReportEntry
from cwz_web.importers.requests import ConvertedRequest, find_request
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection
from cwz_web.views.new_template import gallery_page, open_editor
from cwz_web.web.document_errors import check_document, read_json
from cwz_web.web.forms import FieldError, Form, Name, form_view
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

# A character has up to four bytes.
MAX_FILE_BYTES = 4 * MAX_DOCUMENT_LENGTH
REPORT_PAGE, REQUEST_PAGE = "templates/import.jinja2", "templates/import_request.jinja2"
Groups = dict[Outcome, tuple[str, list[ReportEntry]]]
# What the first step of the draft says has changed.
IMPORT_CHANGE = "import"

Side = Annotated[
    Annotated[int, Field(ge=1, le=MAX_SIDE)] | None, BeforeValidator(lambda text: text or None), Field(default=None)
]
OptionalName = Annotated[Name | None, BeforeValidator(lambda text: text.strip() or None)]


class ImportForm(Form):
    """An import: JSON as text, unless the file is sent, which is not a part of the model.

    The name is that in the JSON, if there is one, unless one is typed; so is the size. With `save`, the person has seen
    the report.
    """

    document: Annotated[str, Field(max_length=MAX_DOCUMENT_LENGTH)] = ""
    name: OptionalName = None
    width: Side
    height: Side
    save: bool = False


@dataclass(frozen=True)
class ImportReportPage:
    """The view model of templates/import.jinja2.

    Attributes:
        imported: the converted template, which is not saved yet.
        text: its JSON as it was sent.
        form: what was typed beside it.
        name: the name that the template gets.
        groups: the label of each outcome, with the entries of the report that have it.
    """

    imported: ImportedTemplate
    text: str
    form: ImportForm
    name: str
    groups: Groups


@dataclass(frozen=True)
class ImportedRequestPage:
    """The view model of templates/import_request.jinja2.

    Attributes:
        converted: the request, as one of ours.
        body: its JSON.
        groups: as in the report of a template.
    """

    converted: ConvertedRequest
    body: str
    groups: Groups


@form_view(
    ImportForm,
    gallery_page,
    context=TemplateCollection,
    name="import",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def import_template(context: TemplateCollection, request: Request, form: ImportForm) -> Response | Any:
    """Create a template from an exported document, or show what becomes of the JSON of another service first."""
    file = request.POST.get("file")
    data = file.file.read(MAX_FILE_BYTES + 1) if hasattr(file, "file") else b""
    text = data.decode("utf-8-sig", "replace") if data else form.document
    if not text.strip():
        raise FieldError("file", gettext("Choose a JSON file, or paste its text"))
    try:
        parsed = read_json(text)
    except ValueError as error:
        raise FieldError("file", str(error)) from None
    try:
        if kind := find_kind(parsed):
            return _import_json(request, form, kind, parsed, text)
        if convert := find_request(parsed):
            return _show_request(request, convert(parsed))
    except InvalidImportError as error:
        raise FieldError("file", str(error)) from None
    return _import_document(request, form, parsed)


def _import_document(request: Request, form: ImportForm, parsed: Any) -> Response:
    """Create a template from a document of our own."""
    brand = load_brand(request.db, request.workspace.workspace_id).brand
    document, errors = check_document(parsed, brand)
    if document is None:
        messages = [text if path in ("", "document") else f"{path}: {text}" for path, text in errors.items()]
        raise FieldError("file", "\n".join(messages))
    if form.name is None:
        raise FieldError("name", gettext("Enter a value"))
    workspace_id, person = request.workspace.workspace_id, request.user.account
    with request.services.database.transaction(workspace_id) as db:
        adopted = adopt_brand(document, brand)
        template = create_template(db, workspace_id, name=form.name, document=adopted, published_by=person.id)
        record(db, workspace_id, request.actor, "template.create", template.name, {})
        template_id = template.id
    return open_editor(request, template_id)


def _import_json(
    request: Request, form: ImportForm, kind: JsonKind, parsed: Any, text: str
) -> Response | ImportReportPage:
    """Show the report, or save the draft if the person has seen it. Raises InvalidImportError."""
    workspace_id = request.workspace.workspace_id
    fonts = {font.name: font.reference for font in list_fonts(request.db, workspace_id)}
    imported = kind.convert(parsed, ImportOptions(form.width, form.height, fonts))
    name = form.name or imported.name
    if form.save:
        return open_editor(request, _save(request, name, imported))
    request.override_renderer = REPORT_PAGE
    return ImportReportPage(imported, text, form, name, _group(imported.report))


def _show_request(request: Request, converted: ConvertedRequest) -> ImportedRequestPage:
    """Show what a request of another service is as one of ours."""
    request.override_renderer = REQUEST_PAGE
    body = json.dumps(converted.body, indent=2, ensure_ascii=False)
    return ImportedRequestPage(converted, body, _group(converted.report))


def _group(report: Report) -> Groups:
    labels = translate_labels(OUTCOME_LABELS)
    return {outcome: (labels[outcome], list(report.of(outcome))) for outcome in Outcome}


def _save(request: Request, name: str, imported: ImportedTemplate) -> UUID:
    workspace_id, person = request.workspace.workspace_id, request.user.account
    with request.services.database.transaction(workspace_id) as db:
        template = create_draft(
            db, workspace_id, name=name, document=imported.document, change=IMPORT_CHANGE, created_by=person.id
        )
        details = {"imported_from": imported.source.label}
        record(db, workspace_id, request.actor, "template.create", template.name, details)
        return template.id
