"""Tags of a template, by which the list of templates is filtered."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pyramid.httpexceptions import HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.views.templates import MAX_TAG_LENGTH, add_template_notice, redirect_to_template
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request

MAX_TAGS = 10


def _check_tags(text: str) -> str:
    tags = split_tags(text)
    if len(tags) > MAX_TAGS:
        raise ValueError(gettext("Enter at most %(limit)s tags", limit=MAX_TAGS))
    if long := next((tag for tag in tags if len(tag) > MAX_TAG_LENGTH), None):
        raise ValueError(gettext("“%(tag)s” has more than %(limit)s characters", tag=long, limit=MAX_TAG_LENGTH))
    if not "".join(tags).isprintable():
        raise ValueError(gettext("Use letters, digits and common punctuation only"))
    return text


class TagsForm(Form):
    """Tags, separated by commas; empty for none."""

    model_config = ConfigDict(extra="ignore")  # a form on the list sends its place in the list

    tags: Annotated[str, Field(max_length=MAX_TAGS * (MAX_TAG_LENGTH + 2)), AfterValidator(_check_tags)]


def split_tags(text: str) -> list[str]:
    """Return the tags of a text, each once: those that differ in case only are the same, as it is written first."""
    tags: dict[str, str] = {}
    for part in text.split(","):
        if tag := " ".join(part.split()):
            tags.setdefault(tag.casefold(), tag)
    return list(tags.values())


@view_config(context=TemplateResource, name="tags", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def change_tags(context: TemplateResource, request: Request) -> Response:
    """Replace the tags of the template."""
    form, template = read_form(TagsForm, request.POST), context.row
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Tags: %(error)s", error=form.errors["tags"]))
    earlier, template.tags = template.tags, split_tags(form.value.tags)
    if template.tags != earlier:
        request.audit("template.tag", template.name, tags=template.tags)
        text = gettext("Tags of “%(name)s” saved.", name=template.name)
        add_template_notice(request, template, text, "tags", tags=", ".join(earlier))
    return redirect_to_template(request, template)
