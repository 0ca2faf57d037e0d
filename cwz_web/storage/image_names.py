"""Readable keys of images: a pattern of a connection, such as `{{ sku }}-{{ digest }}.jpg`.

The key of an image is content-addressed without a pattern as with one: the digest of its inputs is a part of it, so an
object is never changed. A pattern adds values of the row. What a value becomes is a slug, so that a key is a plain path
and a plain URL.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from slugify import slugify

from cwz_web.i18n import gettext

MAX_PATTERN_LENGTH = 200
MAX_VALUE_LENGTH = 40
# Of what precedes and follows the digest.
MAX_PREFIX_LENGTH, MAX_SUFFIX_LENGTH = 70, 30
DIGEST = "digest"
# Stands for the digest in a file name that is filled before the image is rendered.
PLACEHOLDER = "{digest}"
FileName = Annotated[
    str, Field(pattern=r"^(([A-Za-z0-9_][A-Za-z0-9._-]{0,69})?\{digest\}[A-Za-z0-9._-]{0,30})?$", max_length=120)
]

_variable = re.compile(r"\{\{\s*([^{}]{1,100}?)\s*\}\}")
_extension = re.compile(r"\.(jpe?g|png|webp|avif|gif|\{\{\s*extension\s*\}\})$", re.IGNORECASE)
_literal = re.compile(r"[A-Za-z0-9._-]*")


def check_key_pattern(pattern: str) -> str:
    """Return a pattern of keys without the extension, which is that of the image's format; empty for none.

    Raises:
        ValueError: It cannot be one; the message says what to do.
    """
    pattern = _extension.sub("", pattern.strip())
    if not pattern:
        return ""
    if not _literal.fullmatch(_variable.sub("", pattern)):
        raise ValueError(
            gettext(
                "Use letters, digits, dots, hyphens and underscores, and columns in braces, as in %(example)s",
                example="{{ sku }}-{{ digest }}",
            )
        )
    if [name.casefold() for name in _variable.findall(pattern)].count(DIGEST) != 1:
        raise ValueError(
            gettext("Add %(digest)s once: without it, two images could have the same key", digest="{{ digest }}")
        )
    return pattern


def fill_key_pattern(pattern: str, values: Mapping[str, str]) -> str:
    """Return the file name of a row's image with PLACEHOLDER in place of the digest; empty without a pattern.

    Args:
        pattern: what `check_key_pattern` returned.
        values: the row's columns and the fields of the template, by name; the first of equal names but for case
            counts.
    """
    if not pattern:
        return ""
    by_name: dict[str, str] = {}
    for name, value in values.items():
        by_name.setdefault(name.casefold(), value)

    def fill(found: re.Match[str]) -> str:
        name = found[1].casefold()
        return PLACEHOLDER if name == DIGEST else slugify(by_name.get(name, ""), max_length=MAX_VALUE_LENGTH)

    prefix, _, suffix = _variable.sub(fill, pattern).partition(PLACEHOLDER)
    # A file whose name begins with a dot is hidden.
    prefix = re.sub("-{2,}", "-", prefix).lstrip(".-")[:MAX_PREFIX_LENGTH]
    suffix = re.sub("-{2,}", "-", suffix)[:MAX_SUFFIX_LENGTH]
    return f"{prefix}{PLACEHOLDER}{suffix}"


def name_key(key: str, file_name: str) -> str:
    """Return the readable key of an image.

    Args:
        key: its key without a pattern, which ends with the digest and the extension (`image_key`).
        file_name: what `fill_key_pattern` returned.
    """
    if not file_name:
        return key
    folder, _, name = key.rpartition("/")
    digest, _, extension = name.rpartition(".")
    return f"{folder}/{file_name.replace(PLACEHOLDER, digest)}.{extension}"
