"""Parts of a document: their base class, and the types of their values.

Lengths are marked with PIXELS, so that a template can be rendered at two or three times its size.
"""

import re
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext
from cwz_web.imaging.bindings import BOUND_NAME, FIELD_NAME, parse_bindings
from cwz_web.imaging.brand_references import ENTRY_NAME, PREFIX, is_reference, read_reference
from cwz_web.imaging.expression_syntax import MAX_LENGTH as MAX_EXPRESSION_LENGTH
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.icons import check_icon

MAX_SIDE = 4096
MAX_FONT_SIZE = 1000
# Query parameters of signed URLs, which fields must not shadow.
RESERVED_FIELDS = {"s", "k", "e", "v"}
PIXELS = "pixels"
MIN_CORNERS = 3
_uploaded_font = re.compile(r"\Aupload:[0-9a-f]{64}\Z")


def _check_bindings(value: str) -> str:
    parse_bindings(value)
    return value


def _check_expression(value: str) -> str:
    parse_expression(value)
    return value


def check_plain_font(value: str) -> str:
    if value not in FAMILIES and not _uploaded_font.match(value):
        names = ", ".join(sorted(FAMILIES))
        raise ValueError(
            gettext("Unknown font: %(font)s. Use an upload or one of: %(names)s", font=value[:60], names=names)
        )
    return value


def _check_font(value: str) -> str:
    """Check the name of a font, an upload, or a reference to a font of the brand."""
    return value if is_reference(value) else check_plain_font(value)


def _check_not_reserved(value: str) -> str:
    if value in RESERVED_FIELDS:
        raise ValueError(gettext("%(name)s is reserved for signed URLs. Choose another name", name=value))
    return value


PLAIN_COLOR = r"^#[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?$"
# A color, or a reference to one of the brand.
Color = Annotated[
    str, Field(pattern=rf"{PLAIN_COLOR}|^{PREFIX}{ENTRY_NAME}$"), AfterValidator(partial(read_reference, "color"))
]
Font = Annotated[str, AfterValidator(_check_font), AfterValidator(partial(read_reference, "font"))]
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$"), AfterValidator(_check_not_reserved)]
# A field, or a part of the entry of a repeated stack.
BoundName = Annotated[str, Field(pattern=rf"^{BOUND_NAME}$"), AfterValidator(_check_not_reserved)]
Bound = Annotated[str, Field(max_length=2000), AfterValidator(_check_bindings)]
IconName = Annotated[
    str,
    Field(
        max_length=60,
        description="The name of an icon at https://lucide.dev/icons.",
        examples=["shopping-cart", "truck", "star", "badge-percent", "arrow-right"],
    ),
    AfterValidator(check_icon),
]
ExpressionText = Annotated[str, Field(max_length=MAX_EXPRESSION_LENGTH), AfterValidator(_check_expression)]
LayerName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^\S(?:.*\S)?$")]
Position = Annotated[int, Field(ge=-MAX_SIDE, le=MAX_SIDE), PIXELS]
Length = Annotated[int, Field(ge=1, le=MAX_SIDE), PIXELS]
Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Anchor = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip


def new_key(default: Any) -> Any:
    """Define a key that documents did not have at first.

    It is left out of the canonical document while it has its default, so that the digests of documents without the key,
    and with them the URLs of their images, stay as they were.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


class DocumentPart(BaseModel):
    """A part of a document, which rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)

    def scaled(self, factor: int) -> Self:
        """Return a copy with every length multiplied."""
        return self.model_copy(
            update={
                name: value * factor if PIXELS in field.metadata and value is not None else _scaled(value, factor)
                for name, field in type(self).model_fields.items()
                if (value := getattr(self, name)) is not None
            }
        )


def _scaled(value: object, factor: int) -> object:
    if isinstance(value, DocumentPart):
        return value.scaled(factor)
    if isinstance(value, tuple):
        return tuple(_scaled(each, factor) for each in value)
    return value
