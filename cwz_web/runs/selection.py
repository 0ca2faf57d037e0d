"""Which rows of a feed a run or a campaign has: all, those that a filter of the feed's page shows, or chosen keys."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cwz_web.feeds.limits import MAX_NAME
from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.variants import clean_key

MAX_KEYS = 100_000
# The rows of the table `items` that a selection has, as a condition with the parameter :selection.
SELECTED = """
    CASE WHEN :selection ? 'keys' THEN :selection -> 'keys' ? items.key
         WHEN :selection ? 'text' THEN
             CASE WHEN :selection ->> 'column' <> '' THEN
                      strpos(lower(items.data ->> (:selection ->> 'column')), lower(:selection ->> 'text')) > 0
                  ELSE strpos(lower(items.key), lower(:selection ->> 'text')) > 0 OR EXISTS (
                      SELECT FROM jsonb_each_text(items.data) AS cell
                      WHERE strpos(lower(cell.value), lower(:selection ->> 'text')) > 0)
             END
         ELSE true END
"""


class RowSelection(BaseModel):
    """The rows of a feed that are rendered; all of them without a text or keys.

    Attributes:
        text: rows with this text, ignoring case.
        column: the column that has the text; "" for any, or the key.
        keys: the keys of the rows; None for no such limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(max_length=200)] = ""
    column: Annotated[str, Field(max_length=MAX_NAME)] = ""
    keys: Annotated[list[str], Field(max_length=MAX_KEYS)] | None = None

    def parameter(self) -> dict[str, Any]:
        """Return the parameter of SELECTED, and the JSON that is stored."""
        if self.keys is not None:
            return {"keys": self.keys}
        return {"text": self.text, "column": self.column} if self.text else {}


ALL_ROWS = RowSelection()


def read_keys(lines: Iterable[str]) -> list[str]:
    """Return the keys of a list, each once, as feeds write them; blank lines are left out."""
    return list(dict.fromkeys(key for line in lines if (key := clean_key(line.strip()))))


def find_unknown_keys(db: Session, feed: Feed, keys: Iterable[str]) -> list[str]:
    """Return the keys that no row of a feed has."""
    wanted = list(keys)
    known = select(Item.key).where(
        Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id, Item.key == func.any(wanted)
    )
    found = set(db.scalars(known))
    return [key for key in wanted if key not in found]
