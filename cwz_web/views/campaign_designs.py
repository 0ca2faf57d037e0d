"""The designs of a rule as fields of a form: a template with its mapping, or the row's original photo.

The fields of the second design are `design.1.template`, `.number`, `.label`, `.weight`, `.mapped` and `.map.<field>`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ValidationError

from cwz_web.campaigns.editing import next_number
from cwz_web.campaigns.rules import MAX_DESIGNS, Design
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.models import Template
from cwz_web.generation.templates import TemplateDesign, list_templates, load_design
from cwz_web.i18n import gettext
from cwz_web.resources.base import parse_uuid
from cwz_web.runs.mapping import SAMPLE, apply_mapping, formats_of, guess_mapping, mapped_columns
from cwz_web.views.new_run import KEEP_DEFAULT, Choice, MappedField, mapped_fields
from cwz_web.web.forms import FORM_MESSAGES, FieldError, error_messages
from cwz_web.web.request import Request

# In place of a template: the row's original photo.
PHOTO = "photo"
PREVIEW_WIDTH = 320
_template_field = re.compile(r"design\.(\d)\.template")
_remove = re.compile(r"remove-design:(\d)")


@dataclass(frozen=True)
class DesignSource:
    """What designs are chosen from: the feed, and the columns of the rows."""

    feed: Feed
    columns: Sequence[str]


@dataclass(frozen=True)
class DesignForm:
    """A design of the form; the names of its inputs begin with `key`.

    Attributes:
        number: the number of the design in its campaign; "" for a new one.
        mapped: what the mapping is for.
        fields: the template's fields; none for the original photo.
        preview: the path of an image of the template; "" for the original photo.
    """

    key: str
    number: str
    template_id: UUID | None
    templates: list[Choice]
    label: str
    weight: str
    mapped: str
    fields: list[MappedField]
    preview: str


def design_forms(request: Request, source: DesignSource, typed: Mapping[str, str]) -> list[DesignForm]:
    """Return the designs of a form; the newest template if it has none yet."""
    templates = list_templates(request.db, request.workspace.workspace_id)
    forms = []
    for key in design_keys(typed) or ["design.0"]:
        chosen = typed.get(f"{key}.template", str(templates[0].id) if templates else PHOTO)
        template = next((each for each in templates if str(each.id) == chosen), None)
        design = load_design(request.db, template) if template else None
        forms.append(
            DesignForm(
                key=key,
                number=typed.get(f"{key}.number", ""),
                template_id=template.id if template else None,
                templates=_template_choices(templates, chosen),
                label=typed.get(f"{key}.label", ""),
                weight=typed.get(f"{key}.weight", "1"),
                mapped=_mapped(source.feed, design) if design else "",
                fields=_fields(request, source, design, key, typed) if design else [],
                preview=preview_path(request, design.template) if design else "",
            )
        )
    return forms


def change_designs(typed: Mapping[str, str]) -> dict[str, str]:
    """Return a form after the button that adds or removes a design."""
    keys, change = design_keys(typed), typed.get("change", "")
    if change == "add-design" and len(keys) < MAX_DESIGNS:
        free = next(number for number in range(MAX_DESIGNS) if f"design.{number}" not in keys)
        return {**typed, f"design.{free}.template": typed.get(f"{keys[-1]}.template", PHOTO) if keys else PHOTO}
    removed = _remove.fullmatch(change)
    if removed and len(keys) > 1:
        return {name: value for name, value in typed.items() if not name.startswith(f"design.{removed[1]}.")}
    return dict(typed)


def read_designs(
    request: Request, source: DesignSource, typed: Mapping[str, str], used: Iterable[int], own: Iterable[int] = ()
) -> list[Design]:
    """Return the designs of a form.

    Args:
        request: The request.
        source: What they are chosen from.
        typed: The form.
        used: The numbers of all designs of the campaign.
        own: The numbers of the rule's designs.

    Raises:
        FieldError: one of them is not valid.
    """
    taken, known = set(used), {str(number) for number in own}
    designs: list[Design] = []
    for key in design_keys(typed):
        chosen = typed[f"{key}.template"]
        sent = typed.get(f"{key}.number", "")
        number = int(sent) if sent in known else next_number(taken)
        taken.add(number)
        known.discard(sent)
        values: dict[str, Any] = {"number": number, "template": None, "label": typed.get(f"{key}.label", "").strip()}
        values["weight"] = typed.get(f"{key}.weight", "1") or "1"
        if chosen != PHOTO:
            design = _load(request, chosen, f"{key}.template")
            values |= {"template": design.template.id, "mapping": _mapping(request, source, design, key, typed)}
        try:
            designs.append(Design.model_validate(values))
        except ValidationError as error:
            name, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
            raise FieldError(f"{key}.{name.partition('.')[0]}", message) from None
    if not designs:
        raise FieldError("design.0.template", gettext("Choose a template"))
    return designs


def typed_designs(feed: Feed, designs: Iterable[Design]) -> dict[str, str]:
    """Return designs as a form sends them."""
    typed: dict[str, str] = {}
    for place, design in enumerate(designs):
        key = f"design.{place}"
        typed |= {
            f"{key}.template": str(design.template) if design.template else PHOTO,
            f"{key}.number": str(design.number),
            f"{key}.label": design.label,
            f"{key}.weight": str(design.weight),
            f"{key}.mapped": f"{feed.id} {design.template}",
            **{f"{key}.map.{name}": column for name, column in design.mapping.items()},
        }
    return typed


def design_keys(typed: Mapping[str, str]) -> list[str]:
    """Return the prefixes of the designs of a form, in their order."""
    return sorted({name.removesuffix(".template") for name in typed if _template_field.fullmatch(name)})


def preview_path(request: Request, template: Template) -> str:
    """Return the path of a small image of a template."""
    query = urlencode({"version": template.version, "width": PREVIEW_WIDTH})
    return f"{request.path_in('templates', template.id, 'preview')}?{query}"


def _template_choices(templates: Sequence[Template], chosen: str) -> list[Choice]:
    choices = [Choice(str(each.id), each.name, str(each.id) == chosen) for each in templates]
    return [*choices, Choice(PHOTO, gettext("Original photo"), chosen == PHOTO)]


def _load(request: Request, chosen: str, field: str) -> TemplateDesign:
    try:
        template = request.db.get(Template, (request.workspace.workspace_id, parse_uuid(chosen)))
    except KeyError:
        template = None
    if template is None or template.deleted_at:
        raise FieldError(field, gettext("This template does not exist. Choose one from the list"))
    return load_design(request.db, template)


def _fields(
    request: Request, source: DesignSource, design: TemplateDesign, key: str, typed: Mapping[str, str]
) -> list[MappedField]:
    mapping = _mapping(request, source, design, key, typed)
    rows = list_items(request.db, source.feed, limit=1)
    first = apply_mapping(mapping, rows[0].data, formats_of(request.db, source.feed)) if rows else {}
    return mapped_fields(design, source.columns, mapping, first)


def _mapping(
    request: Request, source: DesignSource, design: TemplateDesign, key: str, typed: Mapping[str, str]
) -> dict[str, str]:
    """Return the mapping of a design; guessed again if it was chosen for another feed or template."""
    if typed.get(f"{key}.mapped") != _mapped(source.feed, design):
        rows = [item.data for item in list_items(request.db, source.feed, limit=SAMPLE)]
        return guess_mapping(design.document.fields, source.columns, rows)
    fields = design.document.fields
    chosen = {field.name: typed.get(f"{key}.map.{field.name}", KEEP_DEFAULT) for field in fields}
    return {name: column for name, column in chosen.items() if not column or mapped_columns(column, source.columns)}


def _mapped(feed: Feed, design: TemplateDesign) -> str:
    return f"{feed.id} {design.template.id}"
