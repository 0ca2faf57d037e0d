"""The settings of a campaign: its outputs, its storage, its rows and joined feeds, and when it is published."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationError, field_validator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.editing import check_sizes
from cwz_web.campaigns.editing import delete_campaign as remove_campaign
from cwz_web.campaigns.image_removal import MAX_DAYS, MIN_DAYS
from cwz_web.campaigns.joins import JOINS, KEY, MAX_JOINS, Join, load_columns
from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.policy import PublishPolicy
from cwz_web.campaigns.row_fields import JOINED
from cwz_web.campaigns.rules import InvalidRulesError
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feed_names
from cwz_web.feeds.schedules import time_zones
from cwz_web.i18n import gettext, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.selection import MAX_KEYS, RowSelection, find_unknown_keys, read_keys
from cwz_web.storage.connections import list_connections
from cwz_web.views.campaign_page import CampaignPage, CampaignTab, campaign_path, shared_values
from cwz_web.views.campaign_rules import lock_campaign, save_and_plan
from cwz_web.views.new_campaign import check_outputs, chosen_outputs, format_choices, size_choices, size_names
from cwz_web.views.new_run import MISSING_PHOTO_LABELS, Choice, connection_choices
from cwz_web.web.forms import (
    FORM_MESSAGES,
    FieldError,
    Form,
    Name,
    SubmittedForm,
    TimeZoneName,
    empty_form,
    error_messages,
    form_view,
    typed_values,
)
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

PAGE = "campaigns/settings.jinja2"
# How many unknown keys an error names.
SHOWN_KEYS = 3
# Bytes of an uploaded list of keys.
MAX_KEY_FILE = 8 * 1024 * 1024


class SettingsForm(Form):
    """The settings. Beside these come sizes, formats, and joined feeds (`join.<n>.feed`, `.column` and `.name`)."""

    model_config = ConfigDict(extra="ignore")

    name: Name
    storage: UUID | Literal[""] = ""
    time_zone: TimeZoneName
    photo_column: Annotated[str, Field(max_length=400)] = ""
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP
    auto_publish: Literal["yes", ""] = ""
    max_changed_percent: Annotated[int, Field(ge=0, le=100)] = 20
    max_findings: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    max_missing: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    hold_channel_errors: Literal["yes", ""] = ""
    hold_refused_images: Literal["yes", ""] = ""
    image_days: Annotated[int, Field(ge=0, le=MAX_DAYS)] = 0
    approvals: Annotated[int, Field(ge=1, le=2)] = 1

    @field_validator("max_findings", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @property
    def policy(self) -> PublishPolicy:
        """When a publication is published without a decision."""
        names = ("max_changed_percent", "max_findings", "max_missing", "approvals")
        values = {name: getattr(self, name) for name in names}
        return PublishPolicy(
            auto_publish=self.auto_publish == "yes",
            hold_channel_errors=self.hold_channel_errors == "yes",
            hold_refused_images=self.hold_refused_images == "yes",
            **values,
        )


class RowsForm(Form):
    """Which rows of the feed belong to the campaign. A list of keys can also be a file (`file`)."""

    model_config = ConfigDict(extra="ignore")

    rows: Literal["all", "text", "keys"]
    text: Annotated[str, Field(max_length=200)] = ""
    column: Annotated[str, Field(max_length=400)] = ""
    keys: str = ""


class DeleteForm(Form):
    """The name of the campaign, typed to delete it."""

    confirm: str


@dataclass(frozen=True)
class JoinForm:
    """A joined feed of the form; the names of its inputs begin with `key`."""

    key: str
    feeds: list[Choice]
    columns: list[Choice]
    name: str


@dataclass(frozen=True)
class StoredImages:
    """What a campaign stores, and what of it will be removed first; counted each night.

    Attributes:
        next_at: When the first images are removed; None if none are, or if they are kept.
    """

    images: int
    size: int
    leaving: int
    leaving_size: int
    next_at: datetime | None
    counted_at: datetime


@dataclass(frozen=True, kw_only=True)
class SettingsPage(CampaignPage):
    """Values of campaigns/settings.jinja2.

    Attributes:
        values: The settings as texts, by the names of the form.
        rows: Which rows the campaign has: all, text or keys.
        key_count: How many keys its list has, in words.
    """

    form: SubmittedForm[Any]
    values: Mapping[str, str]
    sizes: list[Choice]
    formats: list[Choice]
    connections: list[Choice]
    time_zones: Sequence[str]
    photo_columns: list[Choice]
    missing_photo_choices: list[Choice]
    joins: list[JoinForm]
    rows: str
    selection_text: str
    selection_columns: list[Choice]
    key_count: str
    can_approve: bool
    stored: StoredImages | None


def _page(context: CampaignResource, request: Request, form: SubmittedForm[Any]) -> SettingsPage:
    campaign, typed = context.row, form.typed
    columns = load_columns(request.db, campaign).names
    own = [name for name in columns if JOINED not in name]
    templates = [design.template for rule in campaign.design_rules for design in rule.designs]
    stored = campaign.image_outputs
    outputs = chosen_outputs(typed, size_names(request, templates)) if "time_zone" in typed else stored
    values = {**_stored_values(campaign), **typed}
    if "time_zone" in typed:  # a box that is not checked is not sent
        boxes = ("auto_publish", "hold_channel_errors", "hold_refused_images")
        values |= {name: typed.get(name, "") for name in boxes}
    selection = RowSelection.model_validate(campaign.selection)
    return SettingsPage(
        **shared_values(request, campaign, CampaignTab.SETTINGS),
        form=form,
        values=values,
        sizes=size_choices(request, templates, outputs),
        formats=format_choices(outputs),
        connections=connection_choices(list_connections(request.db, campaign.workspace_id), values["storage"]),
        time_zones=time_zones(),
        photo_columns=_column_choices(columns, values["photo_column"]),
        missing_photo_choices=[
            Choice(value, gettext(label), value == values["on_missing_photo"])
            for value, label in MISSING_PHOTO_LABELS.items()
        ],
        joins=_join_forms(request, campaign, typed, own),
        rows=typed.get("rows", _kind_of(selection)),
        selection_text=typed.get("text", selection.text),
        selection_columns=_column_choices(own, typed.get("column", selection.column)),
        key_count=_key_count(selection),
        stored=_stored_images(campaign),
        can_approve=bool(request.has_permission(Permission.CAMPAIGN_APPROVE)),
    )


@view_config(context=CampaignResource, name="settings", request_method="GET", renderer=PAGE, permission=Permission.VIEW)
def show_settings(context: CampaignResource, request: Request) -> SettingsPage:
    """Show the settings of a campaign."""
    return _page(context, request, empty_form())


@form_view(
    SettingsForm,
    _page,
    context=CampaignResource,
    name="settings",
    renderer=PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def save_settings(context: CampaignResource, request: Request, form: SettingsForm) -> Response:
    """Save the settings of a campaign."""
    campaign, typed = context.row, typed_values(request.POST)
    lock_campaign(request.db, campaign)
    campaign.joins = [join.model_dump(mode="json") for join in _read_joins(request, campaign, typed)]
    columns = load_columns(request.db, campaign).names
    if form.photo_column and form.photo_column not in columns:
        raise FieldError("photo_column", gettext("The feed has no such column. Choose another one"))
    policy = form.policy.model_dump(mode="json")
    if policy != PublishPolicy.model_validate(campaign.policy).model_dump(mode="json"):
        if not request.has_permission(Permission.CAMPAIGN_APPROVE):
            raise FieldError("approvals", gettext("Only members who approve publications can change this"))
        campaign.policy = policy
    campaign.name, campaign.time_zone = form.name, form.time_zone
    if 0 < form.image_days < MIN_DAYS:
        raise FieldError("image_days", gettext("Enter at least %(days)s days, or 0 to keep them", days=MIN_DAYS))
    campaign.image_days = form.image_days
    campaign.photo_column, campaign.on_missing_photo = form.photo_column, form.on_missing_photo
    if len(list_connections(request.db, campaign.workspace_id)) > 1:
        campaign.connection_id = form.storage or None
    campaign.outputs = _read_outputs(request, campaign, typed)
    try:
        check_sizes(request.db, campaign, campaign.design_rules)
    except InvalidRulesError as error:
        raise FieldError("formats", str(error)) from None
    _save(request, campaign, "time_zone")
    add_notice(request, gettext("The settings are saved."))
    return _to_settings(request, context)


@form_view(RowsForm, _page, context=CampaignResource, name="rows", renderer=PAGE, permission=Permission.CAMPAIGN_EDIT)
def save_rows(context: CampaignResource, request: Request, form: RowsForm) -> Response:
    """Save which rows of the feed belong to a campaign."""
    campaign = context.row
    lock_campaign(request.db, campaign)
    campaign.selection = _read_selection(request, campaign, form).parameter()
    _save(request, campaign, "rows")
    add_notice(request, gettext("The rows of the campaign are saved."))
    return _to_settings(request, context)


@form_view(
    DeleteForm, _page, context=CampaignResource, name="delete", renderer=PAGE, permission=Permission.CAMPAIGN_EDIT
)
def delete_campaign(context: CampaignResource, request: Request, form: DeleteForm) -> Response:
    """Delete a campaign, which can be restored. Its images are kept; its output feed is not served any more."""
    campaign = context.row
    if form.confirm != campaign.name.strip():
        raise FieldError("confirm", gettext("Type the name of the campaign to delete it"))
    remove_campaign(request.db, campaign)
    request.audit("campaign.delete", campaign.name, campaign=str(campaign.id))
    undo = request.path_in("campaigns", "restore")
    add_notice(request, gettext("Deleted “%(name)s”.", name=campaign.name), undo=undo, campaign=str(campaign.id))
    return HTTPSeeOther(request.path_in("campaigns"))


def _save(request: Request, campaign: Campaign, field: str) -> None:
    """Plan the campaign again. Raises FieldError if a rule needs what it does not have any more."""
    try:
        save_and_plan(request, campaign, campaign.design_rules)
    except (InvalidConditionError, InvalidRulesError) as error:
        number = getattr(error, "rule", 0)
        name = next((rule.name for rule in campaign.design_rules if rule.number == number), "")
        text = gettext("The rule “%(name)s” cannot be evaluated then. %(reason)s", name=name, reason=str(error))
        raise FieldError(field, text) from None
    request.audit("campaign.change", campaign.name, campaign=str(campaign.id))


def _read_outputs(request: Request, campaign: Campaign, typed: Mapping[str, str]) -> list[Any]:
    """Return the chosen outputs; those that exist keep their options."""
    templates = [design.template for rule in campaign.design_rules for design in rule.designs]
    outputs = chosen_outputs(typed, size_names(request, templates))
    check_outputs(outputs)
    stored = campaign.image_outputs
    known = {(output.size, output.format): output for output in stored}
    kept = [
        known.get(
            (output.size, output.format), stored[0].model_copy(update={"size": output.size, "format": output.format})
        )
        for output in outputs
    ]
    return [output.model_dump(mode="json") for output in kept]


def _read_joins(request: Request, campaign: Campaign, typed: Mapping[str, str]) -> list[Join]:
    feeds = list_feed_names(request.db, campaign.workspace_id)
    joins: list[Join] = []
    for number in range(MAX_JOINS):
        key = f"join.{number}"
        feed = typed.get(f"{key}.feed", "")
        if not feed:
            continue
        if feed not in feeds or feed == str(campaign.feed_id):
            raise FieldError(f"{key}.feed", gettext("This feed does not exist. Choose one from the list"))
        values = {"feed": feed, "column": typed.get(f"{key}.column", KEY), "name": typed.get(f"{key}.name", "").strip()}
        try:
            joins.append(Join.model_validate(values))
        except ValidationError as error:
            name, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
            if name == "name":
                message = gettext("Enter a short name of lower-case letters and digits, such as stock")
            raise FieldError(f"{key}.{name}", message) from None
        if [join.name for join in joins].count(joins[-1].name) > 1:
            raise FieldError(f"{key}.name", gettext("The names of joined feeds must differ from each other"))
    own = request.db.get_one(Feed, (campaign.workspace_id, campaign.feed_id)).columns
    for number, join in enumerate(joins):
        if join.column and join.column not in own:
            raise FieldError(f"join.{number}.column", gettext("The feed has no such column. Choose another one"))
    return joins


def _read_selection(request: Request, campaign: Campaign, form: RowsForm) -> RowSelection:
    if form.rows == "all":
        return RowSelection()
    feed = request.db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    if form.rows == "text":
        if not form.text:
            raise FieldError("text", gettext("Enter a text"))
        if form.column and form.column not in feed.columns:
            raise FieldError("column", gettext("The feed has no such column. Choose another one"))
        return RowSelection(text=form.text, column=form.column)
    keys = read_keys([*form.keys.splitlines(), *_uploaded_lines(request)])
    stored = RowSelection.model_validate(campaign.selection)
    if not keys and stored.keys is not None:
        return stored
    if not keys:
        raise FieldError("keys", gettext("Enter at least one key, one a line, or choose a file"))
    if len(keys) > MAX_KEYS:
        raise FieldError("keys", gettext("A list can have at most %(max)s keys", max=MAX_KEYS))
    unknown = find_unknown_keys(request.db, feed, keys)
    if len(unknown) == len(keys):
        raise FieldError("keys", gettext("The feed has no row with any of these keys"))
    if unknown:
        shown = ", ".join(unknown[:SHOWN_KEYS])
        message = ngettext(
            "The feed has no row with %(count)s of these keys: %(keys)s. Remove it from the list",
            "The feed has no row with %(count)s of these keys, such as %(keys)s. Remove them from the list",
            len(unknown),
            keys=shown,
        )
        raise FieldError("keys", message)
    return RowSelection(keys=keys)


def _uploaded_lines(request: Request) -> list[str]:
    """Return the lines of an uploaded list; of a table, the first column."""
    part = request.POST.get("file")
    if part is None or isinstance(part, str):
        return []
    data = part.file.read(MAX_KEY_FILE + 1)
    if len(data) > MAX_KEY_FILE:
        raise FieldError("keys", gettext("The file is too large. A list can have at most %(max)s keys", max=MAX_KEYS))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FieldError("keys", gettext("The file is no text in UTF-8. Export the list as CSV or TXT")) from None
    return [line.split(",")[0].split(";")[0].split("\t")[0].strip('" ') for line in io.StringIO(text)]


def _stored_images(campaign: Campaign) -> StoredImages | None:
    found = campaign.stored
    if not found:
        return None
    since = datetime.fromisoformat(found["since"]) if found["since"] else None
    next_at = since + timedelta(days=campaign.image_days) if since and campaign.image_days else None
    counts = {name: found[name] for name in ("images", "size", "leaving", "leaving_size")}
    return StoredImages(**counts, next_at=next_at, counted_at=datetime.fromisoformat(found["at"]))


def _stored_values(campaign: Campaign) -> dict[str, str]:
    policy = PublishPolicy.model_validate(campaign.policy)
    return {
        "name": campaign.name,
        "storage": str(campaign.connection_id or ""),
        "time_zone": campaign.time_zone,
        "photo_column": campaign.photo_column,
        "on_missing_photo": campaign.on_missing_photo,
        "image_days": str(campaign.image_days),
        "auto_publish": "yes" if policy.auto_publish else "",
        "max_changed_percent": str(policy.max_changed_percent),
        "max_findings": "" if policy.max_findings is None else str(policy.max_findings),
        "max_missing": str(policy.max_missing),
        "hold_channel_errors": "yes" if policy.hold_channel_errors else "",
        "hold_refused_images": "yes" if policy.hold_refused_images else "",
        "approvals": str(policy.approvals),
    }


def _join_forms(
    request: Request, campaign: Campaign, typed: Mapping[str, str], columns: Sequence[str]
) -> list[JoinForm]:
    """Return the joined feeds, and an empty one."""
    stored = JOINS.validate_python(campaign.joins)
    known = {
        f"join.{number}.{name}": str(getattr(join, name))
        for number, join in enumerate(stored)
        for name in ("feed", "column", "name")
    }
    values = typed if "join.0.feed" in typed else known
    feeds = list_feed_names(request.db, campaign.workspace_id)
    feeds.pop(str(campaign.feed_id), None)
    used = sum(1 for number in range(MAX_JOINS) if values.get(f"join.{number}.feed"))
    forms = []
    for number in range(min(used + 1, MAX_JOINS)) if feeds else ():
        key = f"join.{number}"
        chosen = values.get(f"{key}.feed", "")
        forms.append(
            JoinForm(
                key=key,
                feeds=[Choice(feed, name, feed == chosen) for feed, name in feeds.items()],
                columns=_column_choices(columns, values.get(f"{key}.column", KEY)),
                name=values.get(f"{key}.name", ""),
            )
        )
    return forms


def _column_choices(columns: Sequence[str], chosen: str) -> list[Choice]:
    return [Choice(column, column, column == chosen) for column in columns]


def _kind_of(selection: RowSelection) -> str:
    if selection.keys is not None:
        return "keys"
    return "text" if selection.text else "all"


def _key_count(selection: RowSelection) -> str:
    if selection.keys is None:
        return ""
    return ngettext("The list has %(count)s key.", "The list has %(count)s keys.", len(selection.keys))


def _to_settings(request: Request, context: CampaignResource) -> Response:
    return HTTPSeeOther(campaign_path(request, context.row, CampaignTab.SETTINGS))
