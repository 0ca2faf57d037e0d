"""Translations, dates and numbers of each locale; catalogs of the languages."""

import pickle
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from markupsafe import escape

from cwz_web import i18n
from cwz_web.i18n import (
    as_clause,
    current_locale,
    cut_message,
    day_and_month,
    direction,
    gettext,
    gettext_lazy,
    load_language,
    locale_names,
    long_date,
    money,
    ngettext,
    number,
    number_lazy,
    short_day,
    time_ago,
    translate,
    use_locale,
)

DAY = date(2026, 9, 5)
CATALOG = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

#: cwz_web/views/a.py
msgid "Used in %(name)s, 100%% sure"
msgstr "Utilisé dans %(name)s, sûr à 100%%"

#: cwz_web/static/app.js cwz_web/static/editor/editor.js
msgid "Copied"
msgstr "Copié"

#: cwz_web/static/editor/editor.js
msgid "%(count)s icon"
msgid_plural "%(count)s icons"
msgstr[0] "%(count)s icône"
msgstr[1] "%(count)s icônes"

#: cwz_web/static/app.js
#, fuzzy
msgid "Close"
msgstr "Proche"
"""


@pytest.fixture
def french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fr.po").write_text(CATALOG)
    monkeypatch.setattr(i18n, "FOLDER", tmp_path)
    monkeypatch.setattr(i18n, "load_language", load_language.__wrapped__)


@pytest.mark.parametrize(
    ("tag", "long", "middle", "short", "thousands", "ago", "amount"),
    [
        ("en", "5 September 2026", "5 September", "5 Sept", "1,234.5", "3 hours ago", "$9.00"),
        ("en-US", "September 5, 2026", "September 5", "Sep 5", "1,234.5", "3 hours ago", "$9.00"),
        ("de", "5. September 2026", "5. September", "5. Sept.", "1.234,5", "vor 3 Stunden", "9,00\xa0$"),
        ("de-CH", "5. September 2026", "5. September", "5. Sept.", "1’234.5", "vor 3 Stunden", "$\xa09.00"),
        ("fr", "5 septembre 2026", "5 septembre", "5 sept.", "1\u202f234,5", "il y a 3 heures", "9,00\xa0$US"),
    ],
)
def test_dates_and_numbers_of_a_locale(
    tag: str, long: str, middle: str, short: str, thousands: str, ago: str, amount: str
) -> None:
    with use_locale(tag):
        assert (long_date(DAY), day_and_month(DAY), short_day(DAY)) == (long, middle, short)
        assert (number(1234.5), time_ago(3, "hour"), money(900, "usd")) == (thousands, ago, amount)


def test_numbers_are_not_rounded() -> None:
    assert [number(Decimal("0.0001")), number(Decimal("1234.56789")), number(7)] == ["0.0001", "1,234.56789", "7"]
    assert [number(1234.56, digits=1), number(300.0, 0)] == ["1,234.6", "300"]


def test_first_day_of_a_month_in_french() -> None:
    first = date(2026, 12, 1)
    with use_locale("fr"):
        dates = (long_date(first), day_and_month(first), short_day(first))
        assert dates == ("1er décembre 2026", "1er décembre", "1er déc.")
        assert day_and_month(date(2026, 12, 11)) == "11 décembre"


def test_units_are_not_rounded_up() -> None:
    assert [time_ago(47, "hour"), time_ago(59, "minute"), time_ago(1, "minute")] == [
        "47 hours ago",
        "59 minutes ago",
        "1 minute ago",
    ]


@pytest.mark.parametrize("tag", ["", None, "xx", "de_DE", "en-AU"])
def test_unknown_locale_is_the_default(tag: str | None) -> None:
    with use_locale("fr"):
        with use_locale(tag):
            assert current_locale() == "en"
        assert current_locale() == "fr"
    assert current_locale() == "en"


@pytest.mark.usefixtures("french")
def test_messages_are_translated() -> None:
    with use_locale("fr-CA"):
        assert gettext("Used in %(name)s, 100%% sure", name="A %(b)s") == "Utilisé dans A %(b)s, sûr à 100%"
        assert gettext("100% new") == "100% new"
        assert gettext("") == "", "not the header of the catalog"
        assert ngettext("%(count)s icon", "%(count)s icons", 0) == "0 icône"
        assert ngettext("%(count)s icon", "%(count)s icons", 12_345) == "12\xa0345 icônes"
    assert gettext("Copied") == "Copied"


@pytest.mark.usefixtures("french")
def test_scripts_have_their_messages() -> None:
    """A message that is not certain is not used."""
    with use_locale("fr"):
        language = i18n.current_language()
    assert language.scripts == {"Copied": "Copié"}
    assert language.editor_scripts == {"Copied": "Copié", "%(count)s icon": ["%(count)s icône", "%(count)s icônes"]}
    assert load_language("en").scripts == {}


def test_locales_are_named_in_their_language() -> None:
    names = locale_names()
    assert (names["en"], names["de-AT"], names["fr"]) == ("English", "Deutsch (Österreich)", "français")


def test_direction_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert direction() == "ltr"
    monkeypatch.setitem(i18n.LOCALES, "ar", "ar")
    with use_locale("ar"):
        assert direction() == "rtl"


def test_lazy_number_is_english_until_it_is_shown() -> None:
    message = gettext_lazy("has more than %(max)s characters and is cut", max=number_lazy(2000))
    assert message == "has more than 2,000 characters and is cut"
    with use_locale("de"):
        assert "2.000 Zeichen" in translate(message)
        assert f"{message}." == "has more than 2,000 characters and is cut."


@pytest.mark.usefixtures("french")
def test_lazy_message_is_english_until_it_is_shown() -> None:
    inner = gettext_lazy("Used in %(name)s, 100%% sure", name="A & B")
    message = str(ValueError(as_clause(inner)))
    assert inner == "Used in A & B, 100% sure"
    assert message == "used in A & B, 100% sure"
    with use_locale("fr"):
        assert f"{message}." == "used in A & B, 100% sure."
        assert translate(message) == "utilisé dans A & B, sûr à 100%"
        assert escape(inner) == "Utilisé dans A &amp; B, sûr à 100%"
        assert translate(cut_message(inner, 10)) == "Utilisé da"
        assert translate(pickle.loads(pickle.dumps(inner))) == inner  # noqa: S301 - its own text
