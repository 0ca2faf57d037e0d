"""Design rules in words: their conditions, windows, and joined feeds."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from cwz_web.campaigns.joins import JoinFindings
from cwz_web.campaigns.row_fields import RowField
from cwz_web.campaigns.rules import DesignRule, Weekly, Window
from cwz_web.feeds.schedules import WEEKDAYS
from cwz_web.i18n import gettext, gettext_noop, long_date, ngettext
from cwz_web.imaging.condition_builder import OPERATORS, Group, Match, Row, Tree, parse_condition

# How rows and groups are joined in a sentence.
JOINED_BY: dict[Match, str] = {
    "all": gettext_noop("%(first)s and %(second)s"),
    "any": gettext_noop("%(first)s or %(second)s"),
}


def describe_condition(rule: DesignRule, fields: Mapping[str, RowField]) -> str:
    """Return the condition of a rule in words; "" for one that is too complex, or for all rows."""
    tree = parse_condition(rule.condition, {name: field.type for name, field in fields.items()})
    return _tree(tree, fields) if tree and tree.groups else ""


def describe_joins(found: Iterable[JoinFindings]) -> list[str]:
    """Return what joined feeds lack, or have more than once, as sentences."""
    texts = []
    for each in found:
        if each.unmatched:
            text = ngettext(
                "“%(feed)s” has no row for %(count)s row of the campaign, %(keys)s. Its columns are empty there.",
                "“%(feed)s” has no row for %(count)s rows of the campaign, such as %(keys)s. Its columns are empty "
                "there.",
                each.unmatched,
                feed=each.feed.name,
                keys=", ".join(each.unmatched_keys),
            )
            texts.append(text)
        if each.double:
            text = ngettext(
                "The last import of “%(feed)s” skipped %(count)s row, since an earlier one has its key: %(keys)s.",
                "The last import of “%(feed)s” skipped %(count)s rows, since earlier ones have their keys, such as "
                "%(keys)s.",
                each.double,
                feed=each.feed.name,
                keys=", ".join(each.double_keys),
            )
            texts.append(text)
    return texts


def describe_window(window: Window | None, zone: ZoneInfo) -> str:
    """Return when a rule counts, in words."""
    if window is None:
        return gettext("Always")
    parts = []
    if window.begin and window.end:
        parts.append(
            gettext("From %(begin)s until %(end)s", begin=_moment(window.begin, zone), end=_moment(window.end, zone))
        )
    elif window.begin:
        parts.append(gettext("From %(begin)s", begin=_moment(window.begin, zone)))
    elif window.end:
        parts.append(gettext("Until %(end)s", end=_moment(window.end, zone)))
    if window.weekly:
        parts.append(_weekly(window.weekly))
    return "; ".join(parts)


def day_label(day: int) -> str:
    """Return the name of a day of the week: 0 for Monday."""
    return gettext(WEEKDAYS[(day + 1) % 7])


def _weekly(weekly: Weekly) -> str:
    return gettext(
        "Every week from %(from_day)s %(from_time)s until %(until_day)s %(until_time)s",
        from_day=day_label(weekly.from_day),
        from_time=f"{weekly.from_time:%H:%M}",
        until_day=day_label(weekly.until_day),
        until_time=f"{weekly.until_time:%H:%M}",
    )


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{long_date(local)}, {local:%H:%M}"


def _tree(tree: Tree, fields: Mapping[str, RowField]) -> str:
    is_single = len(tree.groups) == 1
    return _join([_group(group, fields, is_enclosed=not is_single) for group in tree.groups], tree.match)


def _group(group: Group, fields: Mapping[str, RowField], *, is_enclosed: bool) -> str:
    text = _join([_row(row, fields) for row in group.rows], group.match)
    return f"({text})" if is_enclosed and len(group.rows) > 1 else text


def _row(row: Row, fields: Mapping[str, RowField]) -> str:
    field = fields[row.field]
    operator = gettext(OPERATORS[field.type][row.operator].label)
    value = f" {row.value}" if row.value else ""
    return f"{field.label} {operator}{value}"


def _join(parts: list[str], match: Match) -> str:
    text = parts[0]
    for part in parts[1:]:
        text = gettext(JOINED_BY[match], first=text, second=part)
    return text
