"""The objects of images: the headers that everyone gets who fetches one, and the metadata that says what it is."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Protocol, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from slugify import slugify

from cwz_web.storage.contract import Bucket, ObjectAttributes, find_size
from cwz_web.storage.image_names import FileName
from cwz_web.storage.public_urls import CACHE_CONTROL

MAX_NAME = 200
MAX_FILE_NAME = 100
# Percent-encoded; S3 accepts 2 KB for all metadata of an object.
MAX_METADATA_VALUE = 600
# What a file name cannot have in some operating system.
_unsafe = re.compile(r'[/\\:*?"<>|]+')
_digest = re.compile(r"[0-9a-f]{64}")


class ImageLabel(BaseModel):
    """What the object of an image says about it.

    Attributes:
        name: for the file name: the row's key, or the name of the template.
        row_key: the key of the row; empty without one.
        template_version: the version of the template.
        file_name: of a readable key (`image_names.fill_key_pattern`); empty for the digest alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    row_key: Annotated[str, Field(max_length=MAX_NAME)] = ""
    template_version: int | None = None
    file_name: FileName = ""

    @classmethod
    def of(cls, name: str, template_version: int, *, row_key: str = "", file_name: str = "") -> Self:
        """Return a label; names that are too long are cut off."""
        return cls(
            name=name[:MAX_NAME], row_key=row_key[:MAX_NAME], template_version=template_version, file_name=file_name
        )


NO_LABEL = ImageLabel()


class ImageBucket(Protocol):
    """Where images are stored: a bucket, or a render worker's way to it."""

    def stream(self, key: str) -> Iterator[bytes]:
        """See Bucket.stream."""

    def find_image(self, key: str, label: ImageLabel) -> int | None:
        """Return the size of a stored image in bytes; None if it does not exist, and is going to be put."""

    def put_image(self, key: str, body: bytes, label: ImageLabel, *, content_type: str) -> None:
        """Store an image with its headers and metadata."""


class DirectImageBucket:
    """Images in a bucket that this process can open.

    Args:
        bucket: the bucket.
        find_key: returns the key of an image by the one without a pattern of keys.
    """

    def __init__(self, bucket: Bucket, find_key: Callable[[str], str] = lambda key: key) -> None:
        self._bucket, self._find_key = bucket, find_key

    def stream(self, key: str) -> Iterator[bytes]:
        """See ImageBucket.stream."""
        return self._bucket.stream(key)

    def find_image(self, key: str, label: ImageLabel) -> int | None:
        """See ImageBucket.find_image."""
        return find_size(self._bucket, self._find_key(key))

    def put_image(self, key: str, body: bytes, label: ImageLabel, *, content_type: str) -> None:
        """See ImageBucket.put_image."""
        attributes = image_attributes(key, label, content_type=content_type)
        self._bucket.put_object(self._find_key(key), body, attributes)


def find_digest(key: str) -> str:
    """Return the digest in the key of an image's object; empty for another key."""
    found = _digest.findall(key)
    return found[-1] if found else ""


def image_attributes(key: str, label: ImageLabel, *, content_type: str) -> ObjectAttributes:
    """Return what is stored with the object of an image.

    Args:
        key: the key of the object, which has the image's digest.
        label: what is known of the image.
        content_type: its media type.
    """
    metadata = {"digest": find_digest(key), "row-key": _ascii(label.row_key)}
    if label.template_version is not None:
        metadata["template-version"] = str(label.template_version)
    return ObjectAttributes(
        content_type=content_type,
        cache_control=CACHE_CONTROL,
        content_disposition=content_disposition(label.name, key.rpartition(".")[2]),
        metadata={name: value for name, value in metadata.items() if value},
    )


def content_disposition(name: str, extension: str) -> str:
    """Return a Content-Disposition that shows an image, with a readable file name (RFC 6266).

    Args:
        name: a text of a user; other characters than those of file names are replaced.
        extension: of the file, without a dot.
    """
    visible = "".join(character if character.isprintable() else " " for character in name)
    readable = _unsafe.sub("-", " ".join(visible.split())).strip("-. ")[:MAX_FILE_NAME].rstrip()
    plain = slugify(readable, max_length=MAX_FILE_NAME, lowercase=False, regex_pattern=r"[^-._a-zA-Z0-9]+") or "image"
    value = f'inline; filename="{plain}.{extension}"'
    if readable and readable != plain:
        # A lone surrogate, which UTF-8 does not have, becomes a question mark.
        value += f"; filename*=UTF-8''{quote(f'{readable}.{extension}', safe='', errors='replace')}"
    return value


def _ascii(text: str) -> str:
    """Return a text as metadata of an object can have it: percent-encoded, and cut off after a whole character."""
    encoded = ""
    for character in text:
        part = quote(character, errors="replace")
        if len(encoded) + len(part) > MAX_METADATA_VALUE:
            break
        encoded += part
    return encoded
