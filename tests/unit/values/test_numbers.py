from decimal import Decimal

import pytest
from babel import Locale, localedata
from babel.numbers import format_currency, format_decimal, format_percent
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.values.formats import DecimalSign, FormattedText, Unclear, ValueFormat, json_number
from cwz_web.values.numbers import Money, read_money, read_number

# Toki Pona groups digits by two, which no other locale does.
LOCALES = [name for name in sorted(localedata.locale_identifiers()) if name not in ("root", "tok", "tok_001")]
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, places=3)
SIGNS = "0123456789.,-−–+()%eE $€'’٫٬\u00a0\u202f\u0664\u200fkrRMCHF ٪²½"


def text(value: str, **format: object) -> FormattedText:
    return FormattedText(value, ValueFormat.model_validate(format))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1234567.5", "1234567.5"),
        ("12,345.678", "12345.678"),
        ("1.234,567", "1234.567"),
        ("1.234.567", "1234567"),
        ("1,234,567", "1234567"),
        ("12.5%", "12.5"),
        ("99.9%", "99.9"),
        ("%12,5", "12.5"),
        ("١٢٫٥٪", "12.5"),
        ("$-5.00", "-5"),
        ("-$5.00", "-5"),
        ("€ -5,00", "-5"),
        ("5-", "-5"),
        ("5- €", "-5"),
        ("(5.00)", "-5"),
        ("($1,299.00)", "-1299"),
        ("−5", "-5"),
        ("–5", "-5"),
        ("+5", "5"),
        ("\u200e-5", "-5"),
        ("1e5", "100000"),
        ("1.5E-3", "0.0015"),
        ("١٬٢٣٤٫٥", "1234.5"),
        ("۱۲۳", "123"),
        ("१२", "12"),
        ("１２．５", "12.5"),
        (",89", "0.89"),
        (".5", "0.5"),
        ("1'299.–", "1299"),
        ("1’299.50", "1299.5"),
        ("5,-", "5"),
        ("1.299,--", "1299"),
        ("₹1,29,999", "129999"),
        ("1 234,5", "1234.5"),
        ("1\u00a0234\u202f567", "1234567"),
        ("1\u2009234.5", "1234.5"),
        ("0.999", "0.999"),
        ("0,125", "0.125"),
        ("1234.567", "1234.567"),
        ("007", "7"),
        ("kr.100", "100"),
        ("Rs.500", "500"),
        ("$1,299", "1299"),
    ],
)
def test_number(value: str, number: str) -> None:
    assert read_number(value) == Decimal(number)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not a number"),
        ("N/A", "not a number"),
        ("soon", "not a number"),
        ("10-20 EUR", "not one number"),
        ("2 for 5 €", "not one number"),
        ("10 x 20", "not one number"),
        ("10 20", "separators"),
        ("1.2.3", "separators"),
        ("1,23,45", "separators"),
        ("1.234,567.8", "separators"),
        ("0.123.456", "separators"),
        ("12.5,-", "separators"),
        ("5.", "beside a number"),
        ("5+", "beside a number"),
        ("5 kg", "beside a number"),
        ("from 5 €", "beside a number"),
        ("10²", "beside a number"),
        ("-(5)", "more than one sign"),
        ("-5-", "more than one sign"),
        ("-,50", "can be a negative number"),
        ("1.234", "can be 1.234 or 1234"),
        ("1,234", "can be 1234 or 1.234"),
        ("1" * 21, "more than 20 digits"),
        ("1" * 200, "too long"),
        ("1e9999", "separators"),
        ("1e9999999999", "not one number"),
    ],
)
def test_text_without_a_certain_number(value: str, reason: str) -> None:
    result = read_number(value)
    assert isinstance(result, Unclear)
    assert reason in result.reason


@pytest.mark.parametrize(
    ("value", "format", "number"),
    [
        ("1.234", {"decimal": "comma"}, "1234"),
        ("1.234", {"decimal": "point"}, "1.234"),
        ("1,234", {"decimal": "comma"}, "1.234"),
        ("1.234", {"locale": "de"}, "1234"),
        ("1.234", {"locale": "en"}, "1.234"),
        ("1.234", {"locale": "de", "decimal": "point"}, "1.234"),
        ("9.90", {"decimal": "comma"}, "9.90"),
        ("1,234.5", {"decimal": "comma"}, "1234.5"),
    ],
)
def test_format_decides_between_two_readings(value: str, format: dict[str, str], number: str) -> None:
    assert read_number(text(value, **format)) == Decimal(number)


@pytest.mark.parametrize("value", ["0.999", "0.125", "4.667", "1.234", "-12.500", "1e5", "1E+5", "12"])
def test_json_number_has_no_locale(value: str) -> None:
    number = FormattedText(value, ValueFormat(decimal=DecimalSign.COMMA, locale="de", currency="EUR"), is_number=True)
    assert read_number(json_number(value)) == read_number(number) == Decimal(value)
    assert read_money(number) == Money(Decimal(value), "EUR")


@pytest.mark.parametrize("value", ["NaN", "1e9999", "9" * 21, "true"])
def test_json_number_within_limits(value: str) -> None:
    assert isinstance(read_number(json_number(value)), Unclear)


@pytest.mark.parametrize(("value", "number"), [("1.333", "1.333"), ("4,667", "4.667"), ("4.5", "4.5")])
def test_maximum_decides_between_two_readings(value: str, number: str) -> None:
    assert read_number(value, maximum=5) == read_number(text(value, locale="de"), maximum=5) == Decimal(number)


@pytest.mark.parametrize(
    ("value", "money"),
    [
        ("12.500 KWD", "12.500 KWD"),
        ("12.500 BHD", "12.500 BHD"),
        ("OMR 1.250", "1.250 OMR"),
        ("JOD12.345", "12.345 JOD"),
        ("12.500 د.ك.", "12.500 KWD"),
        ("0.500 TND", "0.500 TND"),
        ("5.00 USD", "5.00 USD"),
        ("5,00 eur", "5.00 EUR"),
        ("CHF19.90", "19.90 CHF"),
        ("Fr. 19.90", "19.90 CHF"),
        ("R$ 5", "5 BRL"),
        ("A$5", "5 AUD"),
        ("US$5", "5 USD"),
        ("HK$5", "5 HKD"),
        ("₺5", "5 TRY"),
        ("5 ₫", "5 VND"),
        ("5₴", "5 UAH"),
        ("RM5", "5 MYR"),
        ("Rp 5.000", "5000 IDR"),
        ("R$ 1.299", "1299 BRL"),
        ("1.299 zł", "1299 PLN"),
        ("$1,299", "1299 USD"),
        ("$5.00 CAD", "5.00 CAD"),
        ("USD $5", "5 USD"),
        ("(5.00) €", "-5.00 EUR"),
        ("₹1,29,999", "129999 INR"),
        ("1'299.– CHF", "1299 CHF"),
        ("100,-", "100 "),
    ],
)
def test_money(value: str, money: str) -> None:
    amount, _, currency = money.partition(" ")
    assert read_money(value) == Money(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("value", "locale", "currency"),
    [
        ("199 kr", "da", "DKK"),
        ("199 kr.", "da", "DKK"),
        ("199 kr", "nb", "NOK"),
        ("199 kr", "sv", "SEK"),
        ("199 kr", "is", "ISK"),
        ("$5", "en_CA", "CAD"),
        ("$5", "es_MX", "MXN"),
        ("$5", "en", "USD"),
        ("¥5", "zh", "CNY"),
        ("¥5", "ja", "JPY"),
        ("£5", "en", "GBP"),
        ("R 5", "en_ZA", "ZAR"),
    ],
)
def test_locale_decides_what_a_symbol_is(value: str, locale: str, currency: str) -> None:
    assert read_money(text(value, locale=locale)) == Money(Decimal(value.strip("kr.$¥£R ")), currency)
    assert read_money(value, hint=locale) == Money(Decimal(value.strip("kr.$¥£R ")), currency)


def test_currency_of_the_format_or_the_template_decides_what_a_symbol_is() -> None:
    assert read_money(text("5 kr", currency="NOK")) == Money(Decimal(5), "NOK")
    assert read_money("5 kr", expected="DKK") == Money(Decimal(5), "DKK")
    assert read_money("$5", expected="CAD") == Money(Decimal(5), "CAD")
    assert read_money(text("5", currency="EUR")) == Money(Decimal(5), "EUR")
    assert read_money("5", expected="EUR") == Money(Decimal(5), "EUR")


@pytest.mark.parametrize(
    ("value", "locale"), [("$1,299", "de"), ("12.500 KWD", "de"), ("1.299 €", "en"), ("1.299 zł", "en")]
)
def test_currency_that_contradicts_the_locale_is_unclear(value: str, locale: str) -> None:
    assert isinstance(read_money(text(value, locale=locale)), Unclear)
    assert isinstance(read_number(text(value, locale=locale)), Unclear)


@pytest.mark.parametrize(
    ("value", "format", "amount"),
    [
        ("1.299 €", {"locale": "de"}, "1299"),
        ("1,299 €", {"locale": "en"}, "1299"),
        ("1,299 €", {"decimal": "comma"}, "1.299"),
        ("1.299 zł", {"locale": "pl"}, "1299"),
        ("12.500 KWD", {"locale": "en"}, "12.5"),
        ("12,500 TND", {"locale": "fr"}, "12.5"),
        ("12.500 KWD", {"decimal": "comma"}, "12500"),
        ("1.299 €", {"decimal": "point", "locale": "de"}, "1.299"),
    ],
)
def test_decimal_sign_or_a_locale_that_agrees_decides(value: str, format: dict[str, str], amount: str) -> None:
    money = read_money(text(value, **format))
    assert isinstance(money, Money)
    assert money.amount == Decimal(amount)


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        ("5.00 USD", "EUR", "in another currency: USD, not EUR"),
        ("€5", "USD", "in another currency: EUR, not USD"),
        ("€5 USD", "", "two currencies"),
        ("5 kr", "", "“kr” can be DKK"),
        ("5 Rs.", "", "“Rs.” can be INR"),
        ("12.5%", "EUR", "percentage"),
        ("1.299 €", "", "can be 1.299 or 1299"),
        ("1,299 €", "", "can be 1299 or 1.299"),
        ("1,299", "EUR", "can be 1299 or 1.299"),
        ("1.299", "USD", "can be 1.299 or 1299"),
        ("12,500 KWD", "", "can be 12500 or 12.500"),
        ("5 XXX", "", "“XXX”"),
        ("5 pieces", "EUR", "“pieces”"),
    ],
)
def test_text_without_a_certain_amount(value: str, expected: str, reason: str) -> None:
    result = read_money(value, expected)
    assert isinstance(result, Unclear)
    assert reason in result.reason


@settings(max_examples=200)
@given(
    st.sampled_from(LOCALES),
    st.sampled_from(["1.234", "1,234", "12.500", "12,500", "0.500", "9.90", "1.234,5"]),
    st.sampled_from(["{}", "{} €", "${}", "{} kr", "{} KWD", "{} zł", "CHF{}", "{} XOF", "R {}", "£{}", "{} TND"]),
    st.sampled_from(["", "EUR", "USD", "DKK", "CLP"]),
)
def test_locale_of_the_output_never_decides_an_amount(locale: str, number: str, pattern: str, expected: str) -> None:
    value = pattern.format(number)
    amounts = {
        money.amount
        for hint in ("en", "de", "es_CL", "en_CA", "nb", locale)
        if isinstance(money := read_money(value, expected, hint), Money)
    }
    assert len(amounts) <= 1
    if pattern in ("{}", "{} €") and number in ("1.234", "1,234") and expected in ("", "EUR"):
        assert not amounts


@pytest.mark.parametrize("value", ["$1.299", "$1,299"])
def test_symbol_that_the_output_gives_another_currency_is_no_evidence(value: str) -> None:
    assert isinstance(read_money(value, hint="es_CL"), Unclear)
    assert isinstance(read_money(text(value, currency="CLP")), Money) == (value == "$1.299")


def test_currencies_that_a_symbol_can_mean_decide_if_they_agree() -> None:
    assert read_money("1.234 kr", hint="nb") == Money(Decimal(1234), "NOK")
    assert isinstance(read_money("1,234 kr", hint="nb"), Unclear)


def test_every_locale_reads_its_own_numbers() -> None:
    for locale in LOCALES:
        for value in (Decimal("-1234567.891"), Decimal("1234.567")):
            rendered = format_decimal(value, locale=locale)
            assert read_number(text(rendered, locale=locale)) == value, rendered


@settings(max_examples=400)
@given(st.sampled_from(LOCALES), AMOUNTS, st.sampled_from(["latn", "default"]))
def test_number_round_trip(locale: str, value: Decimal, system: str) -> None:
    rendered = format_decimal(value, locale=locale, numbering_system=system)
    result = read_number(text(rendered, locale=locale))
    assert isinstance(result, Unclear) or result == value
    if system == "latn":
        assert result == value, rendered


@settings(max_examples=400)
@given(st.sampled_from(LOCALES), AMOUNTS, st.sampled_from(["EUR", "USD", "JPY", "KWD", "CHF", "DKK", "INR", "BRL"]))
def test_money_round_trip(locale: str, value: Decimal, currency: str) -> None:
    rendered = format_currency(value, currency, locale=locale, currency_digits=False)
    written = Decimal(str(round(value, 2)))
    result = read_money(text(rendered, locale=locale))
    if isinstance(result, Money):
        assert result.amount == written
        assert result.currency in (currency, "")
    percent = read_number(text(format_percent(value, "#,##0.0 %", locale=locale), locale=locale))
    assert isinstance(percent, Unclear) or percent == round(value * 100, 1)


@given(st.text(max_size=60) | st.text(alphabet=SIGNS, max_size=30), st.sampled_from([None, *LOCALES[::40]]))
def test_any_text_is_read_or_unclear(value: str, locale: str | None) -> None:
    formatted = FormattedText(value, ValueFormat(locale=locale))
    assert isinstance(read_number(formatted), Decimal | Unclear)
    assert isinstance(read_money(formatted, "EUR"), Money | Unclear)
    assert isinstance(read_number(json_number(value)), Decimal | Unclear)


@given(st.text(alphabet=SIGNS, max_size=30))
def test_a_format_never_adds_a_third_reading(value: str) -> None:
    """A number that is certain without a format is the same with any format, except for a rating."""
    certain = read_number(value)
    if isinstance(certain, Decimal) and not any(sign in value for sign in "$€krRMCHF"):
        assert all(read_number(text(value, decimal=sign)) == certain for sign in DecimalSign)


def test_locales_are_those_of_babel() -> None:
    assert len(LOCALES) > 700
    assert Locale.parse(LOCALES[0])
