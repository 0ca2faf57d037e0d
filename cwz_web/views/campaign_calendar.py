"""The calendar of a campaign: a month of its windows, and what changes when."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, get_day_names
from pydantic import BaseModel, ConfigDict, Field
from pyramid.view import view_config

from cwz_web.campaigns.calendar import CalendarDay, Change, Overlap, find_changes, find_overlaps, weeks_of
from cwz_web.campaigns.planning import is_planned
from cwz_web.campaigns.rules import local_time
from cwz_web.i18n import current_locale, gettext, long_date, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignResource
from cwz_web.views.campaign_page import CampaignPage, CampaignTab, shared_values
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request


class CalendarQuery(BaseModel):
    """The month that is shown, as `2026-11`; empty for the current one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    month: Annotated[str, Field(pattern=r"^(20\d\d-(0[1-9]|1[0-2]))?$")] = ""


@dataclass(frozen=True)
class DayWindow:
    """A window that is open on a day: its rule, and when it begins or ends on this day."""

    name: str
    number: int
    times: str


@dataclass(frozen=True)
class DayCell:
    """A cell of the month."""

    day: int
    label: str
    is_outside: bool
    is_today: bool
    windows: list[DayWindow]


@dataclass(frozen=True)
class ChangeLine:
    """A moment at which windows begin or end, with sentences that say which, and how many rows change."""

    when: str
    is_past: bool
    texts: list[str]
    rows: str


@dataclass(frozen=True, kw_only=True)
class CalendarPage(CampaignPage):
    """Values of campaigns/calendar.jinja2.

    Attributes:
        title: The month in words.
        previous: The month before, as in the query.
        following: The month after.
        is_counted: Whether the numbers of rows are those of the rules and the feed as they are now.
    """

    title: str
    previous: str
    following: str
    day_names: list[str]
    weeks: list[list[DayCell]]
    changes: list[ChangeLine]
    overlaps: list[str]
    has_windows: bool
    is_counted: bool
    time_zone: str


@view_config(
    context=CampaignResource,
    name="calendar",
    request_method="GET",
    renderer="campaigns/calendar.jinja2",
    permission=Permission.VIEW,
)
def show_calendar(context: CampaignResource, request: Request) -> CalendarPage:
    """Show the windows of a month, what changes when, and which windows overlap."""
    campaign = context.row
    zone, rules, now = ZoneInfo(campaign.time_zone), campaign.design_rules, datetime.now(UTC)
    today = now.astimezone(zone).date()
    chosen = read_query(CalendarQuery, request.GET).month
    month = date.fromisoformat(f"{chosen}-01") if chosen else today.replace(day=1)
    following = (month + timedelta(days=31)).replace(day=1)
    midnight = datetime.min.time()
    period = local_time(month, midnight, zone), local_time(following, midnight, zone)
    names = get_day_names("abbreviated", locale=current_locale())
    return CalendarPage(
        **shared_values(request, campaign, CampaignTab.CALENDAR),
        title=format_skeleton("yMMMM", month, locale=current_locale()),
        previous=f"{month - timedelta(days=1):%Y-%m}",
        following=f"{following:%Y-%m}",
        day_names=[names[day] for day in range(7)],
        weeks=[[_cell(each, month, today) for each in week] for week in weeks_of(rules, zone, month)],
        changes=[_change_line(each, zone, now) for each in find_changes(campaign, *period)],
        overlaps=[_overlap_text(each, zone) for each in find_overlaps(campaign, *period)],
        has_windows=any(rule.window and rule.is_enabled for rule in rules),
        is_counted=is_planned(request.db, campaign),
        time_zone=campaign.time_zone,
    )


def _cell(each: CalendarDay, month: date, today: date) -> DayCell:
    windows = []
    for window in each.windows:
        times = ""
        if window.begin and window.end:
            times = gettext("%(begin)s to %(end)s", begin=f"{window.begin:%H:%M}", end=f"{window.end:%H:%M}")
        elif window.begin:
            times = gettext("from %(time)s", time=f"{window.begin:%H:%M}")
        elif window.end:
            times = gettext("until %(time)s", time=f"{window.end:%H:%M}")
        windows.append(DayWindow(window.rule.name, window.rule.number, times))
    return DayCell(each.day.day, long_date(each.day), each.day.month != month.month, each.day == today, windows)


def _change_line(change: Change, zone: ZoneInfo, now: datetime) -> ChangeLine:
    texts = [gettext("“%(name)s” begins", name=rule.name) for rule in change.begins]
    texts += [gettext("“%(name)s” ends", name=rule.name) for rule in change.ends]
    rows = ngettext("%(count)s row gets another design", "%(count)s rows get another design", change.rows)
    return ChangeLine(_when(change.moment, zone), change.moment <= now, texts, rows)


def _overlap_text(overlap: Overlap, zone: ZoneInfo) -> str:
    return ngettext(
        "“%(first)s” and “%(second)s” are both open from %(time)s: for %(count)s row, the first one counts.",
        "“%(first)s” and “%(second)s” are both open from %(time)s: for %(count)s rows, the first one counts.",
        overlap.rows,
        first=overlap.first.name,
        second=overlap.second.name,
        time=_when(overlap.begin, zone),
    )


def _when(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{long_date(local)}, {local:%H:%M}"
