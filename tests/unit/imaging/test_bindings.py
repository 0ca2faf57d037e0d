import re
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.bindings import BindingError, parse_bindings


def resolve(text: str, values: Mapping[str, str]) -> str:
    return parse_bindings(text).resolve(values)[0]


def test_text_without_bindings_is_unchanged() -> None:
    bound = parse_bindings("plain { text } 100 %")
    assert bound.fields == frozenset()
    assert bound.resolve({}) == ("plain { text } 100 %", ())


def test_fields_and_filters() -> None:
    bound = parse_bindings("{{ brand | upper }}: {{title}} {{ note | default('new') }}")
    assert bound.fields == {"brand", "title", "note"}
    assert bound.resolve({"brand": "acme", "title": "Mug", "note": " "}) == ("ACME: Mug new", ())


def test_pipe_inside_quotes_is_text() -> None:
    assert resolve("""{{ a | default("x | y") }}""", {"a": ""}) == "x | y"


@pytest.mark.parametrize(
    ("argument", "expected"), [("'|'", "|"), ("'a|b'", "a|b"), ('"it\'s|"', "it's|"), ("'\"|'", '"|'), ("''", "")]
)
def test_quoted_argument(argument: str, expected: str) -> None:
    assert resolve("{{ a | default(" + argument + ") | upper }}", {"a": ""}) == expected.upper()


def test_value_is_not_parsed() -> None:
    assert resolve("{{ a }}", {"a": "{{ b }}"}) == "{{ b }}"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("{{ a b }}", "a b"),
        ("{{ }}", "is not a field name"),
        ("{{ a | nonsense }}", "nonsense"),
        ("{{ a | truncate }}", "takes other arguments, as in truncate(40)"),
        ("{{ a | upper(3) }}", "does not take arguments"),
        ("{{ a | truncate('x') }}", "needs a number"),
        ("{{ a | default }}", "takes other arguments"),
        ("{{ a", "“{{ a” is not closed"),
        ("{{ a }} and {{ b", "“{{ b” is not closed"),
        ("{{ a | default('x) }}", "default('x)"),
        ("{{ a | }}", "is not a filter"),
        ("{{ | a }}", "is not a field name"),
        ("{{ a.__class__ }}", "is not a field name"),
        ("{{ a | truncate(__import__('os')) }}", "is not a filter"),
    ],
)
def test_syntax_error_is_quoted(text: str, quoted: str) -> None:
    with pytest.raises(BindingError, match=re.escape(quoted)):
        parse_bindings(text)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_rejected_with_a_message(text: str) -> None:
    with suppress(BindingError):  # anything else fails the test
        bound = parse_bindings(text)
        assert isinstance(bound.resolve(dict.fromkeys(bound.fields, "v"))[0], str)
