"""Messages that are stored in English, in the language of their reader."""

import re

import pytest

from cwz_web.i18n import gettext, gettext_lazy, load_language, ngettext, use_locale
from cwz_web.stored_messages import MAX_LENGTH, translate_stored

VARIABLE = re.compile(r"%\((\w+)\)s")


def in_german(text: str) -> str:
    with use_locale("de"):
        return translate_stored(text)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_every_stored_message_is_recognized(language: str) -> None:
    unknown = []
    for singular, plural in load_language(language).stored:
        for form, count in ((singular, 1), (plural, 2000)) if plural else ((singular, 0),):
            values = {name: str(number) for number, name in enumerate(dict.fromkeys(VARIABLE.findall(form)), 3)}
            text = form % (values | ({"count": f"{count:,}"} if count else {})) if values else form
            values.pop("count" if count else "", None)
            with use_locale(language):
                expected = ngettext(singular, plural, count, **values) if count else gettext(singular, **values)
                if translate_stored(text) != expected:
                    unknown.append(form)
    # They have the form of many other sentences.
    assert {VARIABLE.sub("", form).strip(" :,") for form in unknown} <= {"and", "or", "with", "and  more", ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("does not fit into its box and is cut", "passt nicht in die Box und wird abgeschnitten"),
        ("has more than 1,000 characters and is cut", "hat mehr als 1.000 Zeichen und wird abgeschnitten"),
        ("1 comment line was skipped", "1 Kommentarzeile wurde übersprungen"),
        ("1,234 comment lines were skipped", "1.234 Kommentarzeilen wurden übersprungen"),
    ],
)
def test_numbers_are_read_and_formatted(text: str, expected: str) -> None:
    assert in_german(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "shows the field “price” as it is: “12 EUR” is not one number",
            "zeigt das Feld „price“ unverändert: „12 EUR“ ist nicht genau eine Zahl",
        ),
        (
            "has no image: the server answered with status 404",
            "hat kein Bild: Der Server hat mit dem Status 404 geantwortet",
        ),
        (
            "is hidden because of the field “a”: “b” has no entry for “k”",
            "ist wegen des Felds „a“ ausgeblendet: „b“ hat keinen Eintrag für „k“",
        ),
        ("has a wrong check digit", "hat eine falsche Prüfziffer"),
        (
            "The field “x” cannot be written: The feed has no column “a”",
            "Das Feld „x“ kann nicht geschrieben werden: Der Feed hat keine Spalte „a“",
        ),
    ],
)
def test_messages_in_a_message_are_translated(text: str, expected: str) -> None:
    assert in_german(text) == expected


@pytest.mark.parametrize(
    "value", ["The image is empty", "1,000", "%(name)s 5%", "<b>", "4” pipe", "", "has no image: x"]
)
def test_values_in_quotation_marks_stay_as_they_are(value: str) -> None:
    text = f"uses the default of the field “x”: “{value}” is not a number"
    assert in_german(text) == f"verwendet den Standardwert des Felds „x“: „{value}“ ist keine Zahl"


def test_part_that_is_not_known_stays_as_it_is() -> None:
    assert in_german("has no image: the plugin said no") == "hat kein Bild: the plugin said no"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The plugin said no",
        "Red and blue",
        "12",
        "Size: large",
        "x" * (MAX_LENGTH + 1),
        "many comment lines were skipped",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert in_german(text) == text


def test_lazy_message_is_translated_and_english_stays_equal() -> None:
    message = gettext_lazy("The image is empty")
    assert translate_stored(message) == message
    assert in_german(message) == in_german(str(message)) == "Das Bild ist leer"


def test_text_of_nested_messages_is_translated_to_a_depth() -> None:
    """The value of an expression could be such a text."""
    text = in_german("has no image: " * 60 + "cannot be read")
    assert (text.count("hat kein Bild: "), text.count("has no image: ")) == (5, 55)
