import io
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, BinaryIO

import pytest
from pydantic import Field, SecretStr, StringConstraints, ValidationError

from cwz_web.storage import (
    Bucket,
    Fields,
    InvalidSettingsError,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectTooLargeError,
    UnsupportedOperationError,
    check_key,
)
from cwz_web.storage.contract import read_at_most


class Example(Fields):
    host: str = Field(default="a.example", pattern=r"^[a-z.]+$")
    name: str = ""
    password: SecretStr = SecretStr("")
    key_file: SecretStr = Field(default=SecretStr(""), json_schema_extra={"multiline": True})


@pytest.mark.parametrize("pattern", ["[a-z]+", "^[a-z]+", "[a-z]+$", r"^[a-z]+\$"])
def test_pattern_without_anchors_is_rejected(pattern: str) -> None:
    with pytest.raises(TypeError, match=r"Broken.host: the pattern .* must begin with \^ and end with \$"):

        class Broken(Fields):
            host: str = Field(pattern=pattern)


def test_pattern_without_anchors_in_an_annotation_is_rejected() -> None:
    with pytest.raises(TypeError, match="must begin with"):

        class Broken(Fields):
            host: Annotated[str, StringConstraints(pattern="[a-z]+")]


def test_pattern_of_the_python_engine_is_accepted() -> None:
    class PythonEngine(Fields, regex_engine="python-re"):
        host: str = Field(pattern=r"\A[a-z.]+\Z")

    assert PythonEngine(host="a.example").host == "a.example"
    with pytest.raises(ValidationError):
        PythonEngine(host="a.example\nb")


@pytest.mark.parametrize("field", ["host", "name", "password"])
@pytest.mark.parametrize("value", ["a\nb", "a\r\nHost: b", "a\x00b", "a\u2028b"])
def test_line_breaks_and_control_characters_are_rejected(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match="Remove the line breaks"):
        Example.model_validate({field: value})


def test_white_space_around_a_value_is_removed() -> None:
    assert Example(host=" a.example\n").host == "a.example"


def test_multiline_field_keeps_line_breaks() -> None:
    assert Example.model_validate({"key_file": "a\nb"}).key_file.get_secret_value() == "a\nb"


def test_unknown_field_is_rejected_without_its_value() -> None:
    with pytest.raises(ValidationError) as error:
        Example.model_validate({"unknown": "canary"})
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("key", ["a", "a/b.jpg", "ünï/codé", "a b"])
def test_valid_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a\\b", "a\x00b", "a\nb", "a" * 1025])
def test_invalid_keys(key: str) -> None:
    with pytest.raises(InvalidSettingsError):
        check_key(key)


class SmallestBucket(Bucket):
    """The methods that every bucket implements."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> None:
        self.objects[key] = body if isinstance(body, bytes) else body.read()

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if key not in self.objects:
            raise ObjectNotFoundError("The object does not exist")
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in sorted(self.objects) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)


def test_bucket_has_defaults_for_optional_operations() -> None:
    bucket = SmallestBucket({"a": b"1", "b": b"2"})
    bucket.put("c", io.BytesIO(b"3"), content_type="text/plain")
    assert list(bucket.stream("a")) == [b"1"]
    with pytest.raises(ObjectNotFoundError):
        bucket.stream("missing")
    bucket.delete_many(["a", "b", "missing"])
    assert [info.key for info in bucket.list()] == ["c"]


def test_undeclared_operations_raise() -> None:
    bucket = SmallestBucket({})
    calls: Mapping[str, Any] = {
        "presigned URLs": lambda: bucket.presign_get("a", 60),
        "presigned uploads": lambda: bucket.presign_put("a", 60, content_type="image/png"),
        "public URLs": lambda: bucket.public_url("a"),
    }
    for operation, call in calls.items():
        with pytest.raises(UnsupportedOperationError, match=f"does not support {operation}"):
            call()


def test_read_at_most_limits_the_size() -> None:
    bucket = SmallestBucket({"a": b"12345"})
    assert read_at_most(bucket, "a", 5) == b"12345"
    with pytest.raises(ObjectTooLargeError):
        read_at_most(bucket, "a", 4)
