"""The languages of the interface: gettext catalogs, and dates and numbers as CLDR writes them.

The messages in English are their own ids. `cwz_web/locale/<language>.po` has their translations; `make messages`
updates it from the sources. A view runs in the locale of its user, a job in that of the recipient of its email. The
API, logs and what is stored stay English.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_timedelta
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_name, get_currency_precision
from babel.support import Translations
from markupsafe import escape

K = TypeVar("K")
FOLDER = Path(__file__).parent / "locale"
# The tags (BCP 47) of the locales that a user can choose, and CLDR's name of each. English without a region is that
# of no country: CLDR's "en" alone means the United States.
LOCALES = {
    "en": "en_150",
    "en-US": "en_US",
    "en-GB": "en_GB",
    "en-CA": "en_CA",
    "de": "de",
    "de-AT": "de_AT",
    "de-CH": "de_CH",
    "fr": "fr",
    "fr-BE": "fr_BE",
    "fr-CA": "fr_CA",
    "fr-CH": "fr_CH",
}
DEFAULT = "en"
# The scripts: pages contain the messages of theirs.
SCRIPTS = "cwz_web/static/"
EDITOR_SCRIPTS = f"{SCRIPTS}editor/"
# The packages whose messages are stored, which `stored_messages` recognizes.
STORED = tuple(
    f"cwz_web/{name}/"
    for name in (
        "campaigns",
        "channels",
        "feeds",
        "generation",
        "imaging",
        "net",
        "notify",
        "runs",
        "shops",
        "storage",
        "values",
    )
)

_current: ContextVar[str] = ContextVar("locale", default=DEFAULT)
_time_zone: ContextVar[str] = ContextVar("time_zone", default="UTC")


@dataclass(frozen=True, eq=False)
class Language:
    """The translations of a language. It can be a key of a cache.

    Attributes:
        translations: The gettext catalog.
        scripts: The messages of the scripts of every page; a message with a plural has the list of its forms.
        editor_scripts: The same, of the editor.
        stored: The messages that are stored in English, each with its plural, which is empty if it has none.
    """

    translations: NullTranslations
    scripts: Mapping[str, str | list[str]]
    editor_scripts: Mapping[str, str | list[str]]
    stored: tuple[tuple[str, str], ...] = ()


@contextmanager
def use_locale(tag: str | None) -> Iterator[None]:
    """Translate and format for a locale.

    Args:
        tag: One of LOCALES; any other, as of an account that has not chosen one, is the default.
    """
    token = _current.set(tag if tag in LOCALES else DEFAULT)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def use_time_zone(name: str) -> Iterator[None]:
    """Show moments in a time zone."""
    token = _time_zone.set(name)
    try:
        yield
    finally:
        _time_zone.reset(token)


def to_local(moment: datetime) -> datetime:
    """Return a moment in the current time zone."""
    return moment.astimezone(ZoneInfo(_time_zone.get()))


def current_locale() -> str:
    """Return the tag of the current locale."""
    return _current.get()


def current_language() -> Language:
    """Return the translations of the current locale."""
    return load_language(_current.get().partition("-")[0])


def direction() -> str:
    """Return the direction of the text, as the attribute `dir` has it."""
    return _formats().text_direction


def locale_names() -> dict[str, str]:
    """Return the tag of each locale with its name in its own language."""
    names = {tag: Locale.parse(name) for tag, name in LOCALES.items()}
    return {
        tag: (each.get_language_name() if "-" not in tag else each.get_display_name()) or tag
        for tag, each in names.items()
    }


def gettext(message: str, /, **variables: object) -> str:
    """Return the translation of a message.

    Args:
        message: The message in English, a literal, so that it is extracted. With variables, `%(name)s` is replaced.
        variables: The values of the variables.
    """
    # The translation of "" is the header of the catalog.
    text = current_language().translations.gettext(message) if message else ""
    return text % _translated(variables) if variables else text


def ngettext(singular: str, plural: str, count: int, /, **variables: object) -> str:
    """Return the translation of a message with a number.

    Args:
        singular: The message in English for one, a literal.
        plural: The message in English for any other number, a literal.
        count: The number; `%(count)s` is replaced by it, as the locale writes numbers.
        variables: The values of other variables.
    """
    text = find_plural(singular, plural, count)
    return text % _translated(variables) if variables else text


def find_plural(singular: str, plural: str, count: int) -> str:
    """Return the translation of a message for a number, in which only `%(count)s` is replaced, by the number."""
    text = current_language().translations.ngettext(singular, plural, count)
    return text.replace("%(count)s", number(count))


def gettext_noop(message: str) -> str:
    """Mark a constant for extraction; `gettext(CONSTANT)` translates it where it is used."""
    return message


def translate_labels(labels: Mapping[K, str]) -> dict[K, str]:
    """Return labels, which are marked by `gettext_noop`, in the current language."""
    return {key: gettext(label) for key, label in labels.items()}


def in_sentence(label: str) -> str:
    """Return a label as a part of a sentence: in lower case, except in German, which capitalizes nouns."""
    return label if _formats().language == "de" else label.lower()


class LazyMessage(str):
    """A message in English that is translated where it is shown, so that what is stored or cached stays English.

    Templates translate it, since they call `__html__`; `translate` does so for other text.
    """

    __slots__ = ("translation",)

    translation: Callable[[], str]

    def __new__(cls, text: str, translation: Callable[[], str]) -> Self:
        """Return a text in English with a function that translates it."""
        message = super().__new__(cls, text)
        message.translation = translation
        return message

    def __str__(self) -> str:
        """Return the message itself, so that an exception keeps it."""
        return self

    def __html__(self) -> str:
        return escape(self.translation())

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


def gettext_lazy(message: str, /, **variables: object) -> str:
    """Return a message in English that is translated where it is shown.

    Args:
        message: The message in English, a literal, so that it is extracted. With variables, `%(name)s` is replaced.
        variables: The values of the variables, which can be such messages themselves.
    """
    return LazyMessage(message % variables if variables else message, lambda: gettext(message, **variables))


def number_lazy(value: int) -> str:
    """Return a number as English writes it, which is written as the locale does where a lazy message shows it."""
    return LazyMessage(f"{value:,}", lambda: number(value))


def as_clause(message: str) -> str:
    """Return a message as a part of a sentence: its first letter in lower case, except in German."""

    def lower(text: str) -> str:
        return text if _formats().language == "de" else text[:1].lower() + text[1:]

    if not isinstance(message, LazyMessage):
        return lower(message)
    return LazyMessage(message[:1].lower() + message[1:], lambda: lower(translate(message)))


def cut_message(message: str, length: int) -> str:
    """Return a message, or its first characters if it is longer in English."""
    if len(message) <= length:
        return message
    if isinstance(message, LazyMessage):
        return LazyMessage(message[:length], lambda: translate(message)[:length])
    return message[:length]


def translate(text: str) -> str:
    """Return the translation of a lazy message; any other text as it is."""
    return text.translation() if isinstance(text, LazyMessage) else text


def number(value: float | Decimal, digits: int | None = None) -> str:
    """Format a number with its thousands, and with all of its decimal digits or a fixed number of them."""
    if digits is None:
        # By default Babel rounds to three digits.
        return format_decimal(value, decimal_quantization=False, locale=_formats())
    return format_decimal(value, f"#,##0.{'0' * digits}", locale=_formats())


def long_date(day: date) -> str:
    """Format a date as 5 September 2026."""
    return _first_of_month(day, format_date(day, "long", locale=_formats()))


def day_and_month(day: date) -> str:
    """Format a date of this year as 5 September."""
    return _first_of_month(day, format_skeleton("MMMMd", day, locale=_formats()))


def short_day(day: date) -> str:
    """Format a date of this year as 5 Sept."""
    return _first_of_month(day, format_skeleton("MMMd", day, locale=_formats()))


def time_ago(count: int, unit: Literal["hour", "minute"]) -> str:
    """Format how long ago something was.

    Args:
        count: How many units.
        unit: The unit.
    """
    # babel.dates would round up to the next unit.
    return format_timedelta(
        -timedelta(**{f"{unit}s": count}), granularity=unit, threshold=1000, add_direction=True, locale=_formats()
    )


def money(amount: int, currency: str) -> str:
    """Format an amount in the smallest unit of its currency (ISO 4217)."""
    code = currency.upper()
    return format_currency(Decimal(amount).scaleb(-get_currency_precision(code)), code, locale=_currency_formats())


def currency_name(code: str) -> str:
    """Return the name of a currency by its code (ISO 4217)."""
    return get_currency_name(code, locale=_currency_formats())


@cache
def load_language(language: str) -> Language:
    """Load the catalog of a language; English needs none."""
    path = FOLDER / f"{language}.po"
    if not path.exists():
        return Language(NullTranslations(), {}, {})
    with path.open("rb") as file:
        catalog = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Language(
        Translations(compiled),
        _messages_of(catalog, lambda path: path.startswith(SCRIPTS) and not path.startswith(EDITOR_SCRIPTS)),
        _messages_of(catalog, lambda path: path.startswith(EDITOR_SCRIPTS)),
        tuple(_ids_of(catalog, STORED)),
    )


def _ids_of(catalog: Catalog, folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for message in catalog:
        if message.string and not message.fuzzy and any(path.startswith(folders) for path, _ in message.locations):
            yield (message.id, "") if isinstance(message.id, str) else (message.id[0], message.id[1])


def _messages_of(catalog: Catalog, is_source: Callable[[str], bool]) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for message in catalog:
        if message.string and not message.fuzzy and any(is_source(path) for path, _ in message.locations):
            key = message.id if isinstance(message.id, str) else message.id[0]
            found[key] = message.string if isinstance(message.string, str) else list(message.string)
    return found


def _translated(variables: Mapping[str, object]) -> dict[str, object]:
    return {name: translate(value) if isinstance(value, str) else value for name, value in variables.items()}


def _first_of_month(day: date, text: str) -> str:
    # French writes an ordinal number for the first day only, which CLDR's patterns cannot express.
    return f"1er{text[1:]}" if day.day == 1 and _formats().language == "fr" and text.startswith("1 ") else text


@cache
def _parse(name: str) -> Locale:
    return Locale.parse(name)


def _formats() -> Locale:
    return _parse(LOCALES[_current.get()])


def _currency_formats() -> Locale:
    # en_150 writes 9.00 € and not €9.00.
    return _parse("en") if _current.get() == DEFAULT else _formats()
