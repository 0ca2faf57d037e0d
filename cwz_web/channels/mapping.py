"""What a channel writes into each field of its feed."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cwz_web.i18n import gettext, gettext_noop

MAX_FIELDS = 200
MAX_TEXT = 2000


class FieldSource(StrEnum):
    """Where the value of a channel's field comes from."""

    COLUMN = "column"  # a column of the feed, or of a joined one
    CONSTANT = "constant"  # the same text in each row
    EXPRESSION = "expression"  # an expression over the row, as in templates
    IMAGE = "image"  # the URL of an image of the row; its number among the campaign's outputs, from 0
    PHOTO = "photo"  # the URL of the row's original photo
    RULE = "rule"  # the name of the design rule that took the row
    LABEL = "label"  # the label of the row's design, such as of an A/B test
    KEY = "key"  # the row's key

    @property
    def label(self) -> str:
        return gettext(FIELD_SOURCE_LABELS[self])


FIELD_SOURCE_LABELS = {
    FieldSource.COLUMN: gettext_noop("Column"),
    FieldSource.CONSTANT: gettext_noop("Fixed text"),
    FieldSource.EXPRESSION: gettext_noop("Expression"),
    FieldSource.IMAGE: gettext_noop("Image"),
    FieldSource.PHOTO: gettext_noop("Original photo"),
    FieldSource.RULE: gettext_noop("Name of the design rule"),
    FieldSource.LABEL: gettext_noop("Label of the design"),
    FieldSource.KEY: gettext_noop("Key of the row"),
}


class FieldMapping(BaseModel):
    """The value of one field; a field without a mapping is left out of the file.

    Attributes:
        name: the field, as the platform writes it.
        source: where its value comes from.
        value: the column, the text, the expression or the number of the output; "" for the other sources.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    source: FieldSource
    value: Annotated[str, Field(max_length=MAX_TEXT)] = ""


MAPPINGS = TypeAdapter(Annotated[list[FieldMapping], Field(max_length=MAX_FIELDS)])


class MissingImage(StrEnum):
    """What a row without an approved image gets in a channel's feed."""

    HOLD = "hold"  # it is left out
    PHOTO = "photo"  # its original photo
    LAST = "last"  # the image that was public before

    @property
    def label(self) -> str:
        return gettext(MISSING_IMAGE_LABELS[self])


MISSING_IMAGE_LABELS = {
    MissingImage.HOLD: gettext_noop("Leave the row out"),
    MissingImage.PHOTO: gettext_noop("Use the original photo"),
    MissingImage.LAST: gettext_noop("Use the last image that was public"),
}
