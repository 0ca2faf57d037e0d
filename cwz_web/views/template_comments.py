"""Comments on the layers of a template: the list on the versions page and in the editor, writing and resolving."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.comments import (
    MAX_LENGTH,
    ShownComment,
    TooManyCommentsError,
    add_comment,
    list_comments,
    resolve_comment,
)
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template, TemplateComment
from cwz_web.imaging.layers import walk_layers
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

PAGE, PART = "templates/comments.jinja2", "templates/_comments.jinja2"


class CommentForm(Form):
    """A comment; without a layer, it is about the template as a whole."""

    layer: Annotated[str, Field(max_length=60)] = ""
    text: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class ResolveForm(Form):
    """A comment."""

    comment: UUID


@dataclass(frozen=True)
class CommentsPage:
    """The view model of templates/comments.jinja2 and its part.

    Attributes:
        layers: the names of the layers of the draft.
        layer: the selected one.
    """

    template: Template
    form: SubmittedForm[Any]
    comments: list[ShownComment]
    layers: list[str]
    layer: str
    max_length: int


def describe_comments(request: Request, template: Template, form: SubmittedForm[Any]) -> CommentsPage:
    """Return the view model of a template's comments."""
    layers = [layer.name for layer in walk_layers(load_draft(request.db, template).document.layers)]
    chosen = form.typed.get("layer", request.GET.get("layer", ""))
    comments = list_comments(request.db, template)
    return CommentsPage(template, form, comments, layers, chosen if chosen in layers else "", MAX_LENGTH)


def _comments_page(context: TemplateResource, request: Request, form: SubmittedForm[Any]) -> CommentsPage:
    return describe_comments(request, context.row, form)


@page_view(PAGE, PART, context=TemplateResource, name="comments", permission=Permission.VIEW)
def comments_page(context: TemplateResource, request: Request) -> CommentsPage:
    """Show the comments and the form of a new one."""
    return _comments_page(context, request, empty_form())


def _write(context: TemplateResource, request: Request, form: CommentForm) -> Response:
    template = context.row
    layers = {layer.name for layer in walk_layers(load_draft(request.db, template).document.layers)}
    if form.layer and form.layer not in layers:
        raise FieldError("layer", "This layer no longer exists. Choose another one")
    try:
        add_comment(request.db, template, layer=form.layer, text=form.text, author=request.user.account)
    except TooManyCommentsError as error:
        raise FieldError("text", str(error)) from None
    request.audit("template.comment", template.name, layer=form.layer)
    return _back(request, template, form.layer)


@form_view(
    CommentForm,
    _comments_page,
    context=TemplateResource,
    name="comments",
    renderer=PAGE,
    partial=False,
    permission=Permission.COMMENT,
    rate_limit="comment",
)
def write_comment(context: TemplateResource, request: Request, form: CommentForm) -> Response:
    """Add a comment."""
    return _write(context, request, form)


@form_view(
    CommentForm,
    _comments_page,
    context=TemplateResource,
    name="comments",
    renderer=PART,
    partial=True,
    permission=Permission.COMMENT,
    rate_limit="comment",
)
def write_comment_in_editor(context: TemplateResource, request: Request, form: CommentForm) -> Response:
    """Add a comment; htmx follows the redirect to the list."""
    return _write(context, request, form)


@view_config(context=TemplateResource, name="resolve-comment", request_method="POST", permission=Permission.COMMENT)
def resolve(context: TemplateResource, request: Request) -> Response:
    """Mark a comment as resolved."""
    form, template = read_form(ResolveForm, request.POST), context.row
    comment = request.db.get(TemplateComment, (template.workspace_id, form.value.comment)) if form.value else None
    if comment is None or comment.template_id != template.id:
        raise HTTPUnprocessableEntity("Choose one of the template's comments")
    if resolve_comment(comment, request.user.account):
        request.audit("template.comment_resolve", template.name, layer=comment.layer)
    return _back(request, template, comment.layer)


def _back(request: Request, template: Template, layer: str) -> Response:
    query = f"?{urlencode({'layer': layer})}" if layer else ""
    return HTTPSeeOther(f"{request.path_in('templates', template.id, 'comments')}{query}")
