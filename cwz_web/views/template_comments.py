"""Comments on the layers of a template: the list on the versions page and in the editor, and what changes a comment."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.comments import (
    MAX_LENGTH,
    ShownComment,
    TooManyCommentsError,
    add_comment,
    edit_comment,
    list_comments,
    reopen_comment,
    resolve_comment,
)
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template, TemplateComment
from cwz_web.i18n import gettext
from cwz_web.imaging.layers import walk_layers
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

PAGE, PART = "templates/comments.jinja2", "templates/_comments.jinja2"

CommentText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class CommentForm(Form):
    """A comment; without a layer, it is about the template as a whole."""

    layer: Annotated[str, Field(max_length=60)] = ""
    text: CommentText


class CommentReference(Form):
    """A comment."""

    comment: UUID


class EditForm(CommentReference):
    """A comment, and the text that it gets."""

    text: CommentText


@dataclass(frozen=True)
class CommentsPage:
    """The view model of templates/comments.jinja2 and its part.

    Attributes:
        form: the form of a new comment.
        edit_form: the form of a comment that is edited, which says which one.
        layers: the names of the layers of the draft.
        layer: the selected one.
        account_id: the user, who can edit and delete their own comments.
    """

    template: Template
    form: SubmittedForm[Any]
    edit_form: SubmittedForm[Any]
    comments: list[ShownComment]
    layers: list[str]
    layer: str
    account_id: UUID
    max_length: int


def describe_comments(request: Request, template: Template, form: SubmittedForm[Any]) -> CommentsPage:
    """Return the view model of a template's comments."""
    layers = [layer.name for layer in walk_layers(load_draft(request.db, template).document.layers)]
    chosen = form.typed.get("layer", request.GET.get("layer", ""))
    return CommentsPage(
        template,
        *((empty_form(), form) if "comment" in form.typed else (form, empty_form())),
        list_comments(request.db, template),
        layers,
        chosen if chosen in layers else "",
        account_id=request.user.account.id,
        max_length=MAX_LENGTH,
    )


def _comments_page(context: TemplateResource, request: Request, form: SubmittedForm[Any]) -> CommentsPage:
    return describe_comments(request, context.row, form)


@page_view(PAGE, PART, context=TemplateResource, name="comments", permission=Permission.VIEW)
def comments_page(context: TemplateResource, request: Request) -> CommentsPage:
    """Show the comments and the form of a new one."""
    return _comments_page(context, request, empty_form())


@form_view(
    CommentForm,
    _comments_page,
    context=TemplateResource,
    name="comments",
    renderer=PAGE,
    part=PART,
    permission=Permission.COMMENT,
    rate_limit="comment",
)
def write_comment(context: TemplateResource, request: Request, form: CommentForm) -> Response:
    """Add a comment; htmx follows the redirect to the list."""
    template = context.row
    layers = {layer.name for layer in walk_layers(load_draft(request.db, template).document.layers)}
    if form.layer and form.layer not in layers:
        raise FieldError("layer", gettext("This layer no longer exists. Choose another one"))
    try:
        add_comment(request.db, template, layer=form.layer, text=form.text, author=request.user.account)
    except TooManyCommentsError as error:
        raise FieldError("text", str(error)) from None
    request.audit("template.comment", template.name, layer=form.layer)
    return _back(request, template, form.layer)


@form_view(
    EditForm,
    _comments_page,
    context=TemplateResource,
    name="edit-comment",
    renderer=PAGE,
    part=PART,
    permission=Permission.COMMENT,
    rate_limit="comment",
)
def save_comment(context: TemplateResource, request: Request, form: EditForm) -> Response:
    """Change the text of a comment of one's own; htmx follows the redirect to the list."""
    template, comment = context.row, _find(context.row, request, form.comment)
    if comment.author_id != request.user.account.id:
        raise HTTPForbidden(gettext("Only its author can edit a comment"))
    if edit_comment(comment, form.text):
        request.audit("template.comment_edit", template.name, layer=comment.layer)
    return _back(request, template, comment.layer)


@view_config(context=TemplateResource, name="resolve-comment", request_method="POST", permission=Permission.COMMENT)
def resolve(context: TemplateResource, request: Request) -> Response:
    """Mark a comment as resolved."""
    template, comment = context.row, _read_reference(context.row, request)
    if resolve_comment(comment, request.user.account):
        request.audit("template.comment_resolve", template.name, layer=comment.layer)
    return _back(request, template, comment.layer)


@view_config(context=TemplateResource, name="reopen-comment", request_method="POST", permission=Permission.COMMENT)
def reopen(context: TemplateResource, request: Request) -> Response:
    """Mark a resolved comment as open."""
    template, comment = context.row, _read_reference(context.row, request)
    if reopen_comment(comment):
        request.audit("template.comment_reopen", template.name, layer=comment.layer)
    return _back(request, template, comment.layer)


@view_config(context=TemplateResource, name="delete-comment", request_method="POST", permission=Permission.COMMENT)
def delete(context: TemplateResource, request: Request) -> Response:
    """Delete a comment of one's own; an admin can delete each."""
    template, comment = context.row, _read_reference(context.row, request)
    if comment.author_id != request.user.account.id and not request.has_permission(Permission.COMMENT_MANAGE):
        raise HTTPForbidden(gettext("Only its author and admins can delete a comment"))
    request.db.delete(comment)
    request.audit("template.comment_delete", template.name, layer=comment.layer)
    return _back(request, template, comment.layer)


def _read_reference(template: Template, request: Request) -> TemplateComment:
    form = read_form(CommentReference, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Choose one of the template's comments"))
    return _find(template, request, form.value.comment)


def _find(template: Template, request: Request, comment_id: UUID) -> TemplateComment:
    comment = request.db.get(TemplateComment, (template.workspace_id, comment_id))
    if comment is None or comment.template_id != template.id:
        raise HTTPUnprocessableEntity(gettext("This comment no longer exists. Reload the page"))
    return comment


def _back(request: Request, template: Template, layer: str) -> Response:
    query = f"?{urlencode({'layer': layer})}" if layer else ""
    return HTTPSeeOther(f"{request.path_in('templates', template.id, 'comments')}{query}")
