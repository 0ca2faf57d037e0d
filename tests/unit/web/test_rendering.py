from datetime import UTC, datetime, timedelta, timezone

import pytest
from jinja2 import Environment

from cwz_web.i18n import number, use_locale
from cwz_web.web.rendering import ago, at_render_time, bytes_size, duration, moment


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=1, minutes=5), "1 hour ago"),
        (timedelta(hours=47), "47 hours ago"),
    ],
)
def test_ago(passed: timedelta, expected: str) -> None:
    assert ago(datetime.now(UTC) - passed).striptags() == expected


def test_ago_shows_a_date_for_old_moments_and_the_exact_time_on_hover() -> None:
    shown = ago(datetime(2020, 3, 1, 12, 5, tzinfo=UTC))
    assert shown.striptags() == "1 March 2020"
    assert 'title="1 March 2020, 12:05:00 UTC"' in shown


def test_moment_is_shown_in_utc() -> None:
    shown = moment(datetime(2026, 3, 1, 6, 30, tzinfo=timezone(timedelta(hours=2))))
    assert shown == '<time datetime="2026-03-01T04:30:00+00:00">1 Mar, 04:30 UTC</time>'


def test_bytes_size_and_duration() -> None:
    assert [bytes_size(n) for n in (1, 2048, 3 * 1024**2)] == ["1 KB", "2 KB", "3.0 MB"]
    assert [duration(s) for s in (0.2, 59, 120, 7200)] == ["1 s", "59 s", "2 min", "2.0 h"]


def test_bytes_have_the_units_of_the_language() -> None:
    with use_locale("fr"):
        assert [bytes_size(n) for n in (2048, 3 * 1024**2)] == ["2\xa0Ko", "3,0\xa0Mo"]


def test_constants_are_formatted_in_the_locale_of_the_page() -> None:
    environment = Environment(autoescape=True)
    environment.filters["number"] = at_render_time(number)
    with use_locale("de"):
        template = environment.from_string("{{ 1000 | number }}")
    with use_locale("fr"):
        assert template.render() == "1\u202f000"
