import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.bindings import BindingError, parse


def test_text_without_bindings_stays_as_it_is() -> None:
    bound = parse("plain { text } 100 %")
    assert bound.columns == frozenset()
    assert bound.resolve({}) == "plain { text } 100 %"


def test_columns_and_filters() -> None:
    bound = parse("{{ brand | upper }}: {{title}} {{ note | default('new') }}")
    assert bound.columns == {"brand", "title", "note"}
    assert bound.resolve({"brand": "acme", "title": "Mug", "note": " "}) == "ACME: Mug new"


def test_a_pipe_inside_quotes_is_text() -> None:
    assert parse("""{{ a | default("x | y") }}""").resolve({"a": ""}) == "x | y"


@pytest.mark.parametrize(
    ("argument", "shown"), [("'|'", "|"), ("'a|b'", "a|b"), ('"it\'s|"', "it's|"), ("'\"|'", '"|'), ("''", "")]
)
def test_a_pipe_in_quotation_marks_is_none(argument: str, shown: str) -> None:
    assert parse("{{ a | default(" + argument + ") | upper }}").resolve({"a": ""}) == shown.upper()


def test_a_value_is_never_parsed_again() -> None:
    assert parse("{{ a }}").resolve({"a": "{{ b }}"}) == "{{ b }}"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("{{ a b }}", "a b"),
        ("{{ }}", "does not name a column"),
        ("{{ a | nonsense }}", "nonsense"),
        ("{{ a | truncate }}", "takes other arguments, as in truncate(40)"),
        ("{{ a | upper(3) }}", "takes no argument"),
        ("{{ a | truncate('x') }}", "takes a number"),
        ("{{ a | default }}", "takes other arguments"),
        ("{{ a", "“{{ a” is never closed"),
        ("{{ a }} and {{ b", "“{{ b” is never closed"),
        ("{{ a | default('x) }}", "default('x)"),
        ("{{ a | }}", "is not a filter"),
        ("{{ | a }}", "does not name a column"),
        ("{{ a.__class__ }}", "does not name a column"),
        ("{{ a | truncate(__import__('os')) }}", "is not a filter"),
    ],
)
def test_what_is_wrong_is_quoted(text: str, quoted: str) -> None:
    with pytest.raises(BindingError, match=re.escape(quoted)):
        parse(text)


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused_with_a_message(text: str) -> None:
    with suppress(BindingError):  # anything else fails the test
        bound = parse(text)
        assert isinstance(bound.resolve(dict.fromkeys(bound.columns, "v")), str)
