"""Strict JSON, and the lines of its values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.cli.templates.json_files import JsonError, find_line, format_json, locate_lines, parse_json


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "“a” is repeated"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": "\\ud800"}', "UTF-8"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"[" * 101 + b"]" * 101, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_what_programs_read_in_different_ways_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(JsonError, match=message):
        parse_json(data)


def test_error_has_its_line() -> None:
    with pytest.raises(JsonError) as error:
        parse_json(b'\xef\xbb\xbf{\n  "a": 1,\n  b\n}')
    assert error.value.line == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 1, "\t"]))
def test_every_value_has_its_line(value: Any, indent: Any) -> None:
    text = json.dumps(value, indent=indent)
    lines = text.splitlines() or [""]
    for path, line in locate_lines(text).items():
        name = path.rpartition(".")[2]
        assert 1 <= line <= len(lines)
        assert name.isdecimal() or not name.isalpha() or json.dumps(name) in lines[line - 1]


def test_lines_of_paths() -> None:
    text = format_json({"layers": [{"x": 1}, {"x": [1, 2], "y": "a:b,{"}], "sizes": {}})
    lines = locate_lines(text)
    found = {path: text.splitlines()[lines[path] - 1].strip() for path in lines}
    assert found["layers"] == '"layers": ['
    assert found["layers.1"] == "{"
    assert found["layers.1.x.1"] == "2"
    assert found["layers.1.y"] == '"y": "a:b,{"'
    assert find_line(lines, "layers.1.missing.deeper") == lines["layers.1"]
    assert find_line(lines, "nothing") == 1
    assert find_line({}, "nothing") == 0
