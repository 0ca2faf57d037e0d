"""A new run: its form with the field mapping, its plan, and its start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationError, field_validator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds, list_items
from cwz_web.generation.models import Template
from cwz_web.generation.templates import TemplateDesign, list_templates, load_design
from cwz_web.generation.usage import QuotaExceededError, monthly_usage
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import DEFAULT_QUALITY, FORMAT_LABELS, MAX_FILE_BYTES, Format, Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RunCollection
from cwz_web.runs.mapping import EMPTY, FALLBACK, SAMPLE, apply_mapping, formats_of, guess_mapping, mapped_columns
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.planning import (
    EMPTY_FEED,
    MAX_OUTPUTS,
    EmptyFeedError,
    RunPlan,
    RunSpec,
    plan_run,
    plan_takes_long,
    start_run,
)
from cwz_web.storage.connections import list_connections
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.views.feed_currency import CURRENCY_FIELD, CurrencyPrompt, currency_prompt
from cwz_web.views.setup_steps import NumberedStep, SetupStep, steps_of_page
from cwz_web.web.forms import (
    FORM_MESSAGES,
    FieldError,
    Form,
    SubmittedForm,
    empty_form,
    error_messages,
    form_view,
    typed_values,
)
from cwz_web.web.rendering import page_view, template_values
from cwz_web.web.request import Request
from cwz_web.web.text import shorten

# In the form: the field keeps the template's default. Not a possible column name of a feed.
KEEP_DEFAULT = "=default"
MAX_KILOBYTES = MAX_FILE_BYTES // 1000
OPTION_LABELS = {
    "refresh_photos": gettext_noop("Check their photos for changes"),
    "force": gettext_noop("Render all of them again"),
}
MISSING_PHOTO_LABELS = {
    OnMissingPhoto.KEEP: gettext_noop("Keep the row’s earlier image in the output feed"),
    OnMissingPhoto.REPLACE: gettext_noop("Replace the earlier image with one without the photo"),
    OnMissingPhoto.FAIL: gettext_noop("Render no image for the row"),
}
# The encoding options that are checkboxes of the form (imaging.encoders.Encoding).
FILE_OPTION_LABELS = {
    "progressive": gettext_noop("Progressive JPEG: smaller, takes longer to render"),
    "palette": gettext_noop("PNG with at most 256 colors: a third of the size"),
    "lossless": gettext_noop("Lossless WebP and AVIF"),
}


class SourceForm(Form):
    """The feed and the template of a run."""

    model_config = ConfigDict(extra="ignore")

    feed: UUID
    template: UUID


class RunForm(SourceForm):
    """How a run renders its feed.

    Beside these come the mapping (`map.<field>`), sizes (`size.<name>`) and formats (`format.<format>`). A run starts
    with `confirm`; without it, its plan is shown.
    """

    storage: UUID | Literal[""] = ""
    force: Literal["yes", ""] = ""
    refresh_photos: Literal["yes", ""] = ""
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP
    quality: Annotated[int, Field(ge=1, le=100)] = DEFAULT_QUALITY
    max_kilobytes: Annotated[int, Field(ge=1, le=MAX_KILOBYTES)] | None = None
    progressive: Literal["yes", ""] = ""
    palette: Literal["yes", ""] = ""
    lossless: Literal["yes", ""] = ""
    confirm: Literal["yes", ""] = ""

    @field_validator("max_kilobytes", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    def encoding_options(self) -> dict[str, Any]:
        """Return the encoding options of the run's outputs."""
        options = {name: getattr(self, name) == "yes" for name in FILE_OPTION_LABELS}
        return {**options, "quality": self.quality, "max_bytes": self.max_kilobytes and self.max_kilobytes * 1000}


@dataclass(frozen=True)
class Choice:
    """An option or a checkbox of the form."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True)
class MappedField:
    """A field of the template, the columns that can fill it, and its value in the first row."""

    name: str
    label: str
    choices: list[Choice]
    first_value: str | None


@dataclass(frozen=True)
class MappingFragment:
    """What runs/_mapping_update.jinja2 shows: the column of each field, the sizes, and the prompt for a currency."""

    mapped: str
    feed: Feed
    design: TemplateDesign
    fields: list[MappedField]
    sizes: list[Choice]
    currency_prompt: CurrencyPrompt | None


@dataclass(frozen=True)
class NewRunPage:
    """What runs/new.jinja2 shows. Without a feed or a template there is no mapping yet; only the setup has steps."""

    form: SubmittedForm[RunForm]
    feeds: list[Choice]
    templates: list[Choice]
    formats: list[Choice]
    connections: list[Choice]
    options: list[Choice]
    missing_photo_choices: list[Choice]
    quality: str
    max_kilobytes: str
    file_options: list[Choice]
    mapping: MappingFragment | None
    steps: list[NumberedStep]


@dataclass(frozen=True)
class PlanFragment:
    """What runs/_plan.jinja2 shows.

    Attributes:
        plan: What the run will do; None if that takes too long to find out unasked, or if it cannot run.
        remaining: How many images are left this month; None if there is no limit.
        error: Why it cannot run.
    """

    feed: Feed | None = None
    template: Template | None = None
    plan: RunPlan | None = None
    is_forced: bool = False
    outputs: str = ""
    remaining: int | None = None
    is_over_quota: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanPage(PlanFragment):
    """What runs/plan.jinja2 shows: the plan, the form that it is for, and the prompt for the currency of its feed."""

    steps: list[NumberedStep]
    typed: dict[str, str]
    currency_prompt: CurrencyPrompt | None


@page_view(
    "runs/new.jinja2", "runs/_mapping_update.jinja2", context=RunCollection, name="new", permission=Permission.RUN_START
)
def show_new_run(context: RunCollection, request: Request) -> NewRunPage:
    """Show the form, with a guessed mapping and the image of the first row."""
    return _page(request, empty_form(), typed_values(request.GET))


def _invalid_page(context: RunCollection, request: Request, form: SubmittedForm[RunForm]) -> NewRunPage:
    return _page(request, form, form.typed)


@form_view(
    RunForm,
    _invalid_page,
    context=RunCollection,
    name="new",
    renderer="runs/new.jinja2",
    permission=Permission.RUN_START,
)
def start_new_run(context: RunCollection, request: Request, form: RunForm) -> Response:
    """Show the plan of the run; once it is confirmed, start the run."""
    workspace_id = request.workspace.workspace_id
    typed = typed_values(request.POST)
    spec = read_spec(request, form, typed)
    quota = request.services.quotas.of(workspace_id, request.workspace.plan_status)
    try:
        if not form.confirm:
            return _plan_page(request, spec, typed)
        run = start_run(request.db, spec, started_by=request.user.account.id, quota=quota)
    except (EmptyFeedError, InvalidSettingsError, QuotaExceededError) as error:
        raise FieldError("feed", str(error)) from None
    request.audit("run.start", f"{spec.feed.name} with {spec.template.name}", run=str(run.id), rows=run.total)
    return HTTPSeeOther(request.path_in("runs", run.id))


def _plan_page(request: Request, spec: RunSpec, typed: Mapping[str, str]) -> Response:
    kept = {name: value for name, value in typed.items() if name != CURRENCY_FIELD}
    prompt = currency_prompt(request, spec.feed)  # without scripts, another feed can be chosen with the same click
    steps = steps_of_page(typed.get("next"), SetupStep.RUN)
    page = PlanPage(steps=steps, typed=kept, currency_prompt=prompt, **vars(plan_fragment(request, spec)))
    return render_to_response("runs/plan.jinja2", template_values(page), request=request)


@view_config(
    context=RunCollection,
    name="plan",
    request_method="GET",
    renderer="runs/_plan.jinja2",
    permission=Permission.RUN_START,
)
def show_plan(context: RunCollection, request: Request) -> PlanFragment:
    """Show what the run of the form would do."""
    try:
        typed = typed_values(request.GET)
        form = RunForm.model_validate(typed)
        return plan_fragment(request, read_spec(request, form, typed), in_background=True)
    except ValidationError as error:
        message = next(iter(error_messages(error, FORM_MESSAGES).values()))
    except (FieldError, EmptyFeedError, InvalidSettingsError) as error:
        message = str(error)
    return PlanFragment(error=message)


def find_source(request: Request, form: SourceForm) -> tuple[Feed, TemplateDesign]:
    """Return the feed and the template of a form. Raises FieldError if one of them does not exist."""
    workspace_id = request.workspace.workspace_id
    feed = request.db.get(Feed, (workspace_id, form.feed))
    if feed is None or feed.deleted_at:
        raise FieldError("feed", gettext("This feed does not exist. Choose one from the list"))
    template = request.db.get(Template, (workspace_id, form.template))
    if template is None or template.deleted_at:
        raise FieldError("template", gettext("This template does not exist. Choose one from the list"))
    return feed, load_design(request.db, template)


def read_spec(request: Request, form: RunForm, typed: Mapping[str, str]) -> RunSpec:
    """Return the run that a form describes. Raises FieldError."""
    feed, design = find_source(request, form)
    outputs = _outputs_of(typed, design, form)
    if len(outputs) > MAX_OUTPUTS:
        message = gettext("A row can have at most %(number)s images. Choose fewer sizes or formats", number=MAX_OUTPUTS)
        raise FieldError("formats", message)
    return RunSpec(
        feed,
        design.template,
        chosen_mapping(request, typed, design, feed),
        outputs,
        form.storage or None,
        force=form.force == "yes",
        refresh_photos=form.refresh_photos == "yes",
        on_missing_photo=form.on_missing_photo,
    )


def plan_fragment(request: Request, spec: RunSpec, *, in_background: bool = False) -> PlanFragment:
    """Return what a run will do.

    Args:
        request: The request.
        spec: The run.
        in_background: Whether no one has asked for the plan yet: one that takes long is left out.
    """
    takes_long = plan_takes_long(request.db, spec)
    if takes_long and in_background:
        return PlanFragment(feed=spec.feed)
    with request.services.slow_requests.slot(request.workspace.workspace_id, when=takes_long):
        plan = plan_run(request.db, spec)
    if not plan.images:
        raise EmptyFeedError(gettext(EMPTY_FEED))
    quota = request.services.quotas.of(request.workspace.workspace_id, request.workspace.plan_status)
    remaining = None
    if quota.limit is not None:
        remaining = max(quota.limit - monthly_usage(request.db, quota.workspace_id, quota.workspace_id), 0)
    return PlanFragment(
        feed=spec.feed,
        template=spec.template,
        plan=plan,
        is_forced=spec.force,
        outputs=", ".join(map(output_label, spec.outputs)),
        remaining=remaining,
        is_over_quota=remaining is not None and plan.reserved > remaining,
    )


def _page(request: Request, form: SubmittedForm[RunForm], typed: Mapping[str, str]) -> NewRunPage:
    workspace_id = request.workspace.workspace_id
    feeds, templates = list_feeds(request.db, workspace_id), list_templates(request.db, workspace_id)
    # A feed without rows has nothing to render: it is the first choice only if there is no other.
    default = next((feed for feed in feeds if feed.item_count), feeds[0] if feeds else None)
    feed = next((feed for feed in feeds if str(feed.id) == typed.get("feed")), default)
    template = next((t for t in templates if str(t.id) == typed.get("template")), templates[0] if templates else None)
    formats = [format for format in Format if f"format.{format}" in typed] or [Format.JPEG]
    return NewRunPage(
        form=form,
        feeds=[Choice(str(each.id), feed_label(each), each is feed) for each in feeds],
        templates=[Choice(str(t.id), t.name, t is template) for t in templates],
        formats=[Choice(format, FORMAT_LABELS[format], format in formats) for format in Format],
        connections=connection_choices(list_connections(request.db, workspace_id), typed.get("storage", "")),
        options=[Choice(name, gettext(label), name in typed) for name, label in OPTION_LABELS.items()],
        missing_photo_choices=[
            Choice(value, gettext(label), value == typed.get("on_missing_photo", OnMissingPhoto.KEEP))
            for value, label in MISSING_PHOTO_LABELS.items()
        ],
        quality=typed.get("quality", str(DEFAULT_QUALITY)),
        max_kilobytes=typed.get("max_kilobytes", ""),
        file_options=[Choice(name, gettext(label), name in typed) for name, label in FILE_OPTION_LABELS.items()],
        mapping=_mapping_part(request, feed, template, typed) if feed and template else None,
        steps=steps_of_page(typed.get("next"), SetupStep.RUN),
    )


def feed_label(feed: Feed) -> str:
    """Return the name of a feed with its number of rows."""
    return ngettext("%(name)s (%(count)s row)", "%(name)s (%(count)s rows)", feed.item_count, name=feed.name)


def connection_choices(connections: list[Connection], chosen: str) -> list[Choice]:
    """Return the workspace's connections, if there are several to choose from."""
    if len(connections) < 2:
        return []
    return [Choice(str(connection.id), connection.name, str(connection.id) == chosen) for connection in connections]


def _mapping_part(request: Request, feed: Feed, template: Template, typed: Mapping[str, str]) -> MappingFragment:
    design = load_design(request.db, template)
    mapping = chosen_mapping(request, typed, design, feed)
    rows = list_items(request.db, feed, limit=1)
    first = apply_mapping(mapping, rows[0].data, formats_of(request.db, feed)) if rows else {}
    sizes = chosen_sizes(typed, design)
    return MappingFragment(
        mapped=_mapped(feed, design),
        feed=feed,
        design=design,
        fields=mapped_fields(design, feed.columns, mapping, first),
        sizes=[Choice(size, size_label(size), size in sizes) for size in design.document.size_names],
        currency_prompt=currency_prompt(request, feed),
    )


def mapped_fields(
    design: TemplateDesign, columns: Sequence[str], mapping: Mapping[str, str], first: Mapping[str, str]
) -> list[MappedField]:
    """Return the fields of a template with the columns that can fill them.

    Args:
        design: the template.
        columns: the columns of the rows.
        mapping: the chosen columns.
        first: the values of the first row, by field.
    """
    fields = []
    for field in design.document.fields:
        chosen = mapping.get(field.name, KEEP_DEFAULT)
        choices = [Choice(EMPTY, gettext("Leave empty"), chosen == EMPTY)]
        if field.default:
            always = gettext("Always “%(value)s”", value=shorten(field.default, 40))
            choices.append(Choice(KEEP_DEFAULT, always, chosen == KEEP_DEFAULT))
        if FALLBACK in chosen and chosen not in columns:
            choices.append(Choice(chosen, reduce(_with_fallback, chosen.split(FALLBACK)), is_chosen=True))
        choices += [Choice(column, column, chosen == column) for column in columns]
        is_mapped = chosen not in (EMPTY, KEEP_DEFAULT)
        first_value = shorten(first.get(field.name) or gettext("empty"), 60) if is_mapped else None
        fields.append(MappedField(field.name, field.label, choices, first_value))
    return fields


def _with_fallback(first: str, second: str) -> str:
    return gettext("%(first)s or else %(second)s", first=first, second=second)


def _outputs_of(typed: Mapping[str, str], design: TemplateDesign, form: RunForm) -> list[Output]:
    """The chosen formats in each of the chosen sizes; the first of each unless one is chosen."""
    sizes = chosen_sizes(typed, design)
    formats = [format for format in Format if f"format.{format}" in typed] or [Format.JPEG]
    return [Output(size=size, format=format, **form.encoding_options()) for size in sizes for format in formats]


def chosen_sizes(typed: Mapping[str, str], design: TemplateDesign) -> list[str]:
    """Return the sizes of the form; the default one if none is chosen."""
    return [size for size in design.document.size_names if f"size.{size}" in typed] or [DEFAULT_SIZE]


def chosen_mapping(request: Request, typed: Mapping[str, str], design: TemplateDesign, feed: Feed) -> dict[str, str]:
    """Return the mapping of the form; guessed again if it was chosen for another feed or template, or not at all.

    A field that keeps its default is not in it.
    """
    if typed.get("mapped") != _mapped(feed, design):
        rows = [item.data for item in list_items(request.db, feed, limit=SAMPLE)]
        return guess_mapping(design.document.fields, feed.columns, rows)
    chosen = {field.name: typed.get(f"map.{field.name}", KEEP_DEFAULT) for field in design.document.fields}
    return {name: column for name, column in chosen.items() if not column or mapped_columns(column, feed.columns)}


def _mapped(feed: Feed, design: TemplateDesign) -> str:
    """Return what the mapping of the form is for."""
    return f"{feed.id} {design.template.id}"


def output_label(output: Output) -> str:
    """Return the format of an output, and its size if it is not the default one."""
    label = FORMAT_LABELS[output.format]
    return label if output.size == DEFAULT_SIZE else f"{label} ({output.size})"


def size_label(size: str) -> str:
    """Return the name of a size."""
    return gettext("Default") if size == DEFAULT_SIZE else size
