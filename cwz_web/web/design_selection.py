"""What the designer shows, and what its forms have in common."""

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate


class Selection(BaseModel):
    """What the designer shows: a layer, a size, a row of a feed and a zoom level. Stored in the page's query."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    layer: Annotated[str, Field(max_length=60)] = ""
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    feed: UUID | Literal[""] = ""
    row: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    zoom: Literal["fit", "50", "100", "200"] = "fit"

    def query(self, **changes: object) -> str:
        """Return the query string, with some values replaced."""
        selection = self.model_copy(update=changes).model_dump(mode="json", exclude_defaults=True)
        return urlencode({name: value for name, value in selection.items() if value != ""})

    def within(self, document: ImageTemplate) -> "Selection":
        """Return the selection without a layer or size that the document does not have."""
        layer = self.layer if document.find_layer(self.layer) else ""
        size = self.size if document.find_size(self.size) else DEFAULT_SIZE
        return self.model_copy(update={"layer": layer, "size": size})


class InvalidDesignError(Exception):
    """A change is not possible; `errors` has a message for each invalid form field."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors.values()))


# The changed document, the new selection, and a name of the change for undo steps.
Change = tuple[ImageTemplate, Selection, str]
# The fields of a form.
Typed = Mapping[str, str]


def parse_selection(query: Mapping[str, str]) -> Selection:
    """Parse a query string; invalid values are replaced by defaults."""
    try:
        return Selection.model_validate(dict(query))
    except ValidationError as error:
        invalid = {str(problem["loc"][0]) for problem in error.errors()}
        return Selection.model_validate({name: value for name, value in query.items() if name not in invalid})
