"""The form of a design rule: its condition, its window, and its designs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, ValidationError
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from cwz_web.campaigns.editing import check_sizes, next_number, used_designs
from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.planning import campaign_fields
from cwz_web.campaigns.row_fields import RowField
from cwz_web.campaigns.rules import (
    MAX_DESIGNS,
    MAX_RULE_NAME,
    MAX_RULES,
    DesignRule,
    InvalidRulesError,
    Weekly,
    Window,
    local_time,
)
from cwz_web.feeds.models import Feed
from cwz_web.i18n import gettext
from cwz_web.imaging.condition_builder import (
    MAX_GROUPS,
    MAX_ROWS,
    InvalidRowsError,
    Match,
    Tree,
    parse_condition,
    write_condition,
)
from cwz_web.imaging.expression_syntax import MAX_LENGTH
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.views.campaign_designs import (
    PHOTO,
    DesignForm,
    DesignSource,
    change_designs,
    design_forms,
    read_designs,
    typed_designs,
)
from cwz_web.views.campaign_page import campaign_path
from cwz_web.views.campaign_rules import lock_campaign, save_and_plan
from cwz_web.views.new_run import Choice
from cwz_web.views.rule_texts import day_label
from cwz_web.web.condition_forms import GroupForm, edited_tree, group_form
from cwz_web.web.forms import FORM_MESSAGES, FieldError, Form, SubmittedForm, empty_form, error_messages, form_view
from cwz_web.web.forms import typed_values as sent_values
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

DAYS = range(7)
LOCAL_FORMAT = "%Y-%m-%dT%H:%M"
_moment = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d)?$"
_time = r"^(([01]\d|2[0-3]):[0-5]\d)?$"
Time = Annotated[str, Field(pattern=_time)]
Moment = Annotated[str, Field(pattern=_moment)]


class DesignRuleForm(Form):
    """A rule. Beside these come its designs (`design.0.…`), and the rows of its condition as in `condition_forms`.

    With `change`, the form is shown again with the change.
    """

    model_config = ConfigDict(extra="ignore")

    number: Annotated[int, Field(ge=0, le=32_000)] = 0
    name: Annotated[str, Field(min_length=1, max_length=MAX_RULE_NAME)]
    mode: Literal["rows", "text"] = "rows"
    expression: Annotated[str, Field(max_length=MAX_LENGTH)] = ""
    window: Literal["always", "dates", "weekly"] = "always"
    begin: Moment = ""
    end: Moment = ""
    from_day: Annotated[int, Field(ge=0, le=6)] = 0
    from_time: Time = ""
    until_day: Annotated[int, Field(ge=0, le=6)] = 0
    until_time: Time = ""


@dataclass(frozen=True)
class ConditionForm:
    """The condition of the rule: groups of rows, or an expression.

    Attributes:
        fields: the labels of what can be compared, by name.
        error: why the rows were refused as a whole.
    """

    mode: str
    groups: list[GroupForm]
    match: Match
    expression: str
    fields: dict[str, str]
    can_add_row: bool
    can_add_group: bool


@dataclass(frozen=True)
class RulePage:
    """What campaigns/rule.jinja2 and campaigns/_rule.jinja2 show.

    Attributes:
        number: The number of the rule; 0 for a new one.
        is_last: Whether it takes all other rows, so that it has neither condition nor window.
        typed: The fields of the form.
        windows: The choices of when it counts.
        time_zone: The time zone of its times.
    """

    campaign: Campaign
    form: SubmittedForm[Any]
    number: int
    is_last: bool
    typed: Mapping[str, str]
    condition: ConditionForm
    windows: list[Choice]
    from_days: list[Choice]
    until_days: list[Choice]
    time_zone: str
    designs: list[DesignForm]
    can_add_design: bool


@page_view(
    "campaigns/rule.jinja2",
    "campaigns/_rule.jinja2",
    context=CampaignResource,
    name="rule",
    permission=Permission.CAMPAIGN_EDIT,
)
def show_rule(context: CampaignResource, request: Request) -> RulePage:
    """Show the form of a rule, or of a new one."""
    number = request.GET.get("number", "")
    if not number:
        return _page(context, request, empty_form(), {"name": ""})
    rule = _find(context.row, int(number)) if number.isdecimal() and len(number) < 6 else None
    if rule is None:
        raise HTTPNotFound
    feed = request.db.get_one(Feed, (context.row.workspace_id, context.row.feed_id))
    typed = _typed_rule(rule, feed, campaign_fields(request.db, context.row), ZoneInfo(context.row.time_zone))
    return _page(context, request, empty_form(), typed)


def _invalid_page(context: CampaignResource, request: Request, form: SubmittedForm[DesignRuleForm]) -> RulePage:
    if form.typed.get("change"):  # what is not complete yet is no error
        request.response.status = 200
        return _page(context, request, empty_form(), form.typed)
    return _page(context, request, form, form.typed)


@form_view(
    DesignRuleForm,
    _invalid_page,
    part="campaigns/_rule.jinja2",
    context=CampaignResource,
    name="rule",
    renderer="campaigns/rule.jinja2",
    permission=Permission.CAMPAIGN_EDIT,
)
def save_rule(context: CampaignResource, request: Request, form: DesignRuleForm) -> Response | RulePage:
    """Save a rule, or add a new one before the last."""
    campaign, typed = context.row, sent_values(request.POST)
    if typed.get("change"):
        return _page(context, request, empty_form(), typed)
    lock_campaign(request.db, campaign)
    rules = campaign.design_rules
    former = _find(campaign, form.number)
    if form.number and former is None:
        raise FieldError("name", gettext("This rule was deleted in the meantime. Add it again"))
    if former is None and len(rules) >= MAX_RULES:
        raise FieldError("name", gettext("A campaign can have at most %(number)s rules", number=MAX_RULES))
    rule = _read_rule(request, campaign, form, typed, former)
    changed = [rule if each.number == rule.number else each for each in rules]
    try:
        check_sizes(request.db, campaign, [rule])
        save_and_plan(request, campaign, changed if former else [*rules[:-1], rule, *rules[-1:]])
    except InvalidConditionError as error:
        raise FieldError("expression" if error.rule == rule.number else "name", str(error)) from None
    except InvalidRulesError as error:
        raise FieldError("designs", str(error)) from None
    request.audit("campaign.rules", campaign.name, campaign=str(campaign.id), rule=rule.name)
    return HTTPSeeOther(f"{campaign_path(request, campaign)}#rule-{rule.number}")


def rule_of_form(request: Request, campaign: Campaign, typed: Mapping[str, str]) -> tuple[DesignRule, bool]:
    """Return the rule that a form describes so far, and whether its designs are complete. Raises FieldError."""
    values = {name: value for name, value in typed.items() if name in DesignRuleForm.model_fields and value}
    try:
        form = DesignRuleForm.model_validate({"name": gettext("New rule"), **values})
    except ValidationError as error:
        field, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
        raise FieldError(field, message) from None
    former = _find(campaign, form.number)
    try:
        return _read_rule(request, campaign, form, typed, former), True
    except FieldError as error:
        if not error.field.startswith("design"):
            raise
    without = {name: value for name, value in typed.items() if not name.startswith("design.")}
    photo = {"design.0.template": PHOTO}
    return _read_rule(request, campaign, form, {**without, **photo}, former), False


def _read_rule(
    request: Request, campaign: Campaign, form: DesignRuleForm, typed: Mapping[str, str], former: DesignRule | None
) -> DesignRule:
    """Return the rule of a form. Raises FieldError."""
    rules = campaign.design_rules
    is_last = former is not None and former.number == rules[-1].number
    own = [design.number for design in former.designs] if former else []
    values = {
        "number": former.number if former else next_number(rule.number for rule in rules),
        "name": form.name,
        "is_enabled": former.is_enabled if former else True,
        "condition": "" if is_last else _read_condition(request, campaign, form, typed),
        "window": None if is_last else _read_window(form, ZoneInfo(campaign.time_zone)),
        "designs": read_designs(request, _source(request, campaign), typed, used_designs(request.db, campaign), own),
    }
    try:
        return DesignRule.model_validate(values)
    except ValidationError as error:
        name, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
        raise FieldError(name, message) from None


def _read_condition(request: Request, campaign: Campaign, form: DesignRuleForm, typed: Mapping[str, str]) -> str:
    if form.mode == "text":
        return form.expression
    types = _types(campaign_fields(request.db, campaign))
    try:
        return write_condition(edited_tree(typed, types), types)
    except InvalidRowsError as error:
        (group, row), message = next(iter(error.errors.items()))
        raise FieldError(f"row.{group}.{row}.value", message) from None


def _read_window(form: DesignRuleForm, zone: ZoneInfo) -> Window | None:
    if form.window == "always":
        return None
    weekly = None
    if form.window == "weekly":
        for name in ("from_time", "until_time"):
            if not getattr(form, name):
                raise FieldError(name, gettext("Enter times as hours and minutes, such as 18:00"))
        times = {name: getattr(form, name) for name in ("from_day", "from_time", "until_day", "until_time")}
        try:
            weekly = Weekly.model_validate(times)
        except ValidationError as error:
            raise FieldError("until_time", next(iter(error_messages(error).values()))) from None
    begin, end = _local_moment(form.begin, "begin", zone), _local_moment(form.end, "end", zone)
    try:
        return Window(begin=begin, end=end, weekly=weekly)
    except ValidationError as error:
        raise FieldError("end", next(iter(error_messages(error).values()))) from None


def _local_moment(text: str, field: str, zone: ZoneInfo) -> datetime | None:
    if not text:
        return None
    try:
        local = datetime.strptime(text, LOCAL_FORMAT)  # noqa: DTZ007 - in the campaign's time zone
        return local_time(local.date(), local.time(), zone)
    except (ValueError, OverflowError):
        raise FieldError(field, gettext("Enter a date and a time")) from None


def _page(context: CampaignResource, request: Request, form: SubmittedForm[Any], sent: Mapping[str, str]) -> RulePage:
    campaign = context.row
    fields = campaign_fields(request.db, campaign)
    typed = change_designs(sent)
    number = int(typed.get("number") or 0) if (typed.get("number") or "0").isdecimal() else 0
    designs = design_forms(request, _source(request, campaign), typed)
    window = typed.get("window", "always")
    return RulePage(
        campaign=campaign,
        form=form,
        number=number,
        is_last=number == campaign.design_rules[-1].number,
        typed=typed,
        condition=_condition_form(fields, typed, form.errors),
        windows=[
            Choice("always", gettext("Always"), window == "always"),
            Choice("dates", gettext("Between two times"), window == "dates"),
            Choice("weekly", gettext("Every week"), window == "weekly"),
        ],
        from_days=[Choice(str(day), day_label(day), typed.get("from_day", "4") == str(day)) for day in DAYS],
        until_days=[Choice(str(day), day_label(day), typed.get("until_day", "0") == str(day)) for day in DAYS],
        time_zone=campaign.time_zone,
        designs=designs,
        can_add_design=len(designs) < MAX_DESIGNS,
    )


def _condition_form(
    fields: Mapping[str, RowField], typed: Mapping[str, str], errors: Mapping[str, str]
) -> ConditionForm:
    types, change = _types(fields), typed.get("change", "")
    mode, expression, tree = typed.get("mode", "rows"), typed.get("expression", ""), Tree()
    if mode == "text" and change == "to-rows":
        parsed = parse_condition(expression, types) if expression.strip() else tree
        mode, tree = ("rows", parsed) if parsed is not None else ("text", tree)
    elif mode != "text":
        tree = edited_tree(typed, types)
        try:
            expression = write_condition(tree, types)
        except InvalidRowsError:
            expression = ""
        mode = "text" if change == "to-text" else "rows"
    groups = [group_form(number, group, types, errors) for number, group in enumerate(tree.groups)]
    return ConditionForm(
        mode=mode,
        groups=groups,
        match=tree.match,
        expression=expression,
        fields={name: field.label for name, field in fields.items()},
        can_add_row=sum(len(group.rows) for group in groups) < MAX_ROWS,
        can_add_group=len(groups) < MAX_GROUPS,
    )


def _typed_rule(rule: DesignRule, feed: Feed, fields: Mapping[str, RowField], zone: ZoneInfo) -> dict[str, str]:
    """Return a rule as its form sends it."""
    typed = {"number": str(rule.number), "name": rule.name, "expression": rule.condition}
    tree = parse_condition(rule.condition, _types(fields)) if rule.condition else Tree()
    typed |= {"mode": "text"} if tree is None else {"mode": "rows", **_typed_tree(tree)}
    if rule.window:
        weekly = rule.window.weekly
        typed["window"] = "weekly" if weekly else "dates"
        for name, moment in (("begin", rule.window.begin), ("end", rule.window.end)):
            typed[name] = moment.astimezone(zone).strftime(LOCAL_FORMAT) if moment else ""
        if weekly:
            typed |= {"from_day": str(weekly.from_day), "until_day": str(weekly.until_day)}
            typed |= {"from_time": f"{weekly.from_time:%H:%M}", "until_time": f"{weekly.until_time:%H:%M}"}
    return typed | typed_designs(feed, rule.designs)


def _typed_tree(tree: Tree) -> dict[str, str]:
    typed: dict[str, str] = {"match": tree.match}
    for number, group in enumerate(tree.groups):
        typed[f"group.{number}.match"] = group.match
        for place, row in enumerate(group.rows):
            key = f"row.{number}.{place}"
            typed |= {f"{key}.field": row.field, f"{key}.operator": row.operator, f"{key}.value": row.value}
    return typed


def _types(fields: Mapping[str, RowField]) -> dict[str, str]:
    return {name: field.type for name, field in fields.items()}


def _source(request: Request, campaign: Campaign) -> DesignSource:
    feed = request.db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    return DesignSource(feed, load_columns(request.db, campaign).names)


def _find(campaign: Campaign, number: int) -> DesignRule | None:
    return next((rule for rule in campaign.design_rules if rule.number == number), None)
