"""The headers and metadata of the objects of images."""

from email.message import Message
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.storage.connections import image_key
from cwz_web.storage.image_objects import ImageLabel, content_disposition, image_attributes
from cwz_web.storage.public_urls import CACHE_CONTROL

DIGEST = "ab" * 32
KEY = image_key(UUID(int=1), DIGEST, "jpg")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MUG-42", 'inline; filename="MUG-42.jpg"'),
        ("", 'inline; filename="image.jpg"'),
        ("Blue mug", "inline; filename=\"Blue-mug.jpg\"; filename*=UTF-8''Blue%20mug.jpg"),
        ("Größe/1", "inline; filename=\"Grosse-1.jpg\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe-1.jpg"),
        ("../../etc/passwd", 'inline; filename="etc-passwd.jpg"'),
        ('a"; filename="evil.exe', None),
        ("a\r\nSet-Cookie: x=1\r\n\r\n<script>", None),
        ("日本語", None),
        ("\u2028\u202e\ud800", None),
        ("x" * 5000, None),
    ],
)
def test_file_name_is_readable_and_safe(name: str, expected: str | None) -> None:
    value = content_disposition(name, "jpg")
    assert value.isascii()
    assert value.isprintable()
    assert len(value) < 2000
    if expected:
        assert value == expected
    message = Message()
    message["Content-Disposition"] = value
    file_name = message.get_filename()
    assert message.get_content_disposition() == "inline"
    assert file_name
    assert file_name.endswith(".jpg")
    assert not set(file_name) & set('/\\"\r\n')


@given(st.text(max_size=300))
def test_headers_of_any_name_are_printable_ascii(name: str) -> None:
    label = ImageLabel.of(name, 3, row_key=name)
    attributes = image_attributes(KEY, label, content_type="image/jpeg")
    for value in (*attributes.headers.values(), *attributes.metadata.values()):
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()
        assert len(value) < 1500


def test_attributes_say_what_the_image_is() -> None:
    attributes = image_attributes(KEY, ImageLabel.of("Mug", 3, row_key="sku 1"), content_type="image/jpeg")
    assert attributes.headers == {
        "Content-Type": "image/jpeg",
        "Cache-Control": CACHE_CONTROL,
        "Content-Disposition": 'inline; filename="Mug.jpg"',
    }
    assert attributes.metadata == {"digest": DIGEST, "row-key": "sku%201", "template-version": "3"}
    unlabeled = image_attributes(KEY, ImageLabel(), content_type="image/jpeg")
    assert unlabeled.metadata == {"digest": DIGEST}


def test_long_row_key_is_cut_after_a_whole_character() -> None:
    key = image_attributes(KEY, ImageLabel.of("", 1, row_key="ü" * 400), content_type="image/jpeg").metadata["row-key"]
    assert key == "%C3%BC" * 100
