"""Readable keys: patterns, and what they make of the values of a row."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.storage.connections import image_key
from cwz_web.storage.contract import check_key
from cwz_web.storage.image_names import check_key_pattern, fill_key_pattern, name_key
from cwz_web.storage.image_objects import ImageLabel

DIGEST = "ab" * 32
KEY = image_key(UUID(int=1), DIGEST, "jpg")
FOLDER = KEY.rpartition("/")[0]


def key_of(pattern: str, **values: str) -> str:
    return name_key(KEY, fill_key_pattern(check_key_pattern(pattern), values)).removeprefix(f"{FOLDER}/")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("", f"{DIGEST}.jpg"),
        ("{{ sku }}-{{ digest }}.jpg", f"mug-42-{DIGEST}.jpg"),
        ("{{sku}}-{{DIGEST}}.png", f"mug-42-{DIGEST}.jpg"),
        ("{{ SKU }}_{{ digest }}.{{ extension }}", f"mug-42_{DIGEST}.jpg"),
        ("{{ digest }}-{{ title }}", f"{DIGEST}-grosse-tasse.jpg"),
        ("{{ unknown }}-{{ digest }}", f"{DIGEST}.jpg"),
        ("{{ path }}-{{ digest }}", f"etc-passwd-{DIGEST}.jpg"),
        ("...{{ digest }}", f"{DIGEST}.jpg"),
        ("{{ evil }}-{{ digest }}", f"a-x-evil-1-{DIGEST}.jpg"),
    ],
)
def test_pattern_is_filled_with_slugs(pattern: str, name: str) -> None:
    values = {"sku": "MUG 42", "title": "Große Tasse", "path": "../../etc/passwd", "evil": "a\r\nX-Evil: 1"}
    assert key_of(pattern, **values) == name


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{{ sku }}.jpg", "Add {{ digest }} once"),
        ("{{ digest }}-{{ digest }}", "Add {{ digest }} once"),
        ("../{{ digest }}", "Use letters"),
        ("a/{{ digest }}", "Use letters"),
        ("{{ sku }-{{ digest }}", "Use letters"),
        ("{{ a }} {{ digest }}", "Use letters"),
        ("{% raw %}{{ digest }}", "Use letters"),
        ("ü{{ digest }}", "Use letters"),
    ],
)
def test_other_patterns_are_rejected(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_key_pattern(pattern)


@given(
    st.text(max_size=200),
    st.sampled_from(["{{ v }}-{{ digest }}", "{{ digest }}-{{ v }}-{{ v }}{{ v }}", "{{v}}{{digest}}{{v}}"]),
)
def test_key_of_any_value_is_a_bounded_path_of_the_workspace(value: str, pattern: str) -> None:
    file_name = fill_key_pattern(check_key_pattern(pattern), {"v": value})
    key = name_key(KEY, file_name)
    assert check_key(key) == key
    assert key.startswith(f"{FOLDER}/")
    assert key.count("/") == KEY.count("/")
    assert DIGEST in key
    assert key.isascii()
    assert len(key) <= 200
    assert ImageLabel(file_name=file_name).file_name == file_name, "what a render worker may send"


@pytest.mark.parametrize(
    "file_name", ["a/{digest}", "../{digest}", "{digest}/..", ".{digest}", "a", "{digest}\n", "{digest}{digest}"]
)
def test_render_worker_cannot_name_another_object(file_name: str) -> None:
    with pytest.raises(ValueError, match="file_name"):
        ImageLabel(file_name=file_name)
