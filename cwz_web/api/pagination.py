"""Lists in pages: `?limit=` and `?after=`, which is what the page before says as `next`."""

import re
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.web.urls import as_number

PAGE = 100
MAX_PAGE = 1000
# What `next` says in a list that has an order of its own; places are 32-bit integers in the database.
POSITION = "[0-9]{0,9}"


class Answer(BaseModel):
    """What the API answers with."""

    model_config = ConfigDict(frozen=True)


def transaction(request: Request) -> Any:
    """A transaction in the workspace of the request's key."""
    return request.services.database.transaction(request.api_key.workspace_id)


def limit_of(request: Request) -> int:
    """How many the page may have. Raises Problem."""
    limit = as_number(request.GET.get("limit", str(PAGE)))
    if not 1 <= limit <= MAX_PAGE:
        raise ProblemError(422, "invalid", "The request is not valid", {"limit": f"Use a number from 1 to {MAX_PAGE}"})
    return limit


def position_after(request: Request) -> int:
    """After which place in the order the page begins; 0 for the first page. Raises Problem."""
    after = request.GET.get("after", "")
    if not re.fullmatch(POSITION, after):
        raise _bad_cursor()
    return int(after or 0)


def _bad_cursor() -> ProblemError:
    return ProblemError(422, "invalid", "The request is not valid", {"after": "Use the `next` of a page"})


def rows_of(
    request: Request, db: Session, model: type[Any], *where: ColumnElement[bool]
) -> tuple[list[Any], str | None]:
    """The rows of a table, newest first, as the address asks for them; and what `next` is. Raises Problem."""
    limit, after = limit_of(request), request.GET.get("after", "")
    mine = select(model).where(model.workspace_id == request.api_key.workspace_id, *where)
    if hasattr(model, "deleted_at"):
        mine = mine.where(model.deleted_at.is_(None))
    try:
        mine = mine.where(model.id < UUID(after)) if after else mine
    except ValueError:
        raise _bad_cursor() from None
    rows = list(db.scalars(mine.order_by(model.id.desc()).limit(limit)))
    return rows, str(rows[-1].id) if len(rows) == limit else None
