"""Pagination: `?limit=` and `?after=`, the cursor that the previous page returned as `next`."""

import re
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Template
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.web.urls import parse_number

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
# The cursor of a list that is ordered by position, a 32-bit integer in the database.
POSITION_PATTERN = "[0-9]{0,9}"


class ResponseModel(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


def transaction(request: Request) -> AbstractContextManager[Session]:
    """Return a transaction in the workspace of the request's API key."""
    return request.services.database.transaction(request.api_key.workspace_id)


def page_limit(request: Request) -> int:
    """Return how many rows the page may have. Raises ProblemError."""
    limit = parse_number(request.GET.get("limit", str(DEFAULT_LIMIT)))
    if not 1 <= limit <= MAX_LIMIT:
        raise ProblemError(422, "invalid", "The request is not valid", {"limit": f"Use a number from 1 to {MAX_LIMIT}"})
    return limit


def position_after(request: Request) -> int:
    """Return the position after which the page begins; 0 for the first page. Raises ProblemError."""
    after = request.GET.get("after", "")
    if not re.fullmatch(POSITION_PATTERN, after):
        raise _invalid_cursor()
    return int(after or 0)


def _invalid_cursor() -> ProblemError:
    return ProblemError(422, "invalid", "The request is not valid", {"after": "Use the `next` of the previous page"})


def paginate(
    request: Request, db: Session, model: type[Any], *where: ColumnElement[bool]
) -> tuple[list[Any], str | None]:
    """Return a page of a model's rows in the workspace, newest first, and the cursor of the next page.

    A key that is limited to templates gets the rows of these only.

    Raises:
        ProblemError: `limit` or `after` is not valid.
    """
    limit, after = page_limit(request), request.GET.get("after", "")
    query = select(model).where(model.workspace_id == request.api_key.workspace_id, *where)
    if request.api_key.templates:
        query = query.where(*_of_templates(model, request.api_key.templates))
    if hasattr(model, "deleted_at"):
        query = query.where(model.deleted_at.is_(None))
    try:
        query = query.where(model.id < UUID(after)) if after else query
    except ValueError:
        raise _invalid_cursor() from None
    rows = list(db.scalars(query.order_by(model.id.desc()).limit(limit)))
    return rows, str(rows[-1].id) if len(rows) == limit else None


def _of_templates(model: type[Any], templates: Collection[str]) -> list[ColumnElement[bool]]:
    """Return the condition that rows are of some templates, if the model has templates at all."""
    column = model.id if model is Template else getattr(model, "template_id", None)
    return [] if column is None else [column.in_([UUID(template) for template in templates])]
