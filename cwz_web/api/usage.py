"""`/v1/usage`: this month's usage and quotas."""

from datetime import date
from typing import Any

from pyramid.view import view_config

from cwz_web.api.pagination import ResponseModel, transaction
from cwz_web.generation.usage import month_of, next_month, usage_by_subject
from cwz_web.resources.api import ApiRoot
from cwz_web.resources.permissions import Permission
from cwz_web.web.request import Request


class UsageInfo(ResponseModel):
    """Images used this month by the workspace and by the key, and their quotas (null for no limit)."""

    month: date
    resets_on: date
    used: int
    limit: int | None
    key_used: int
    key_limit: int | None


@view_config(context=ApiRoot, name="usage", request_method="GET", renderer="json", permission=Permission.API_READ)
def show_usage(context: ApiRoot, request: Request) -> dict[str, Any]:
    """Return this month's usage."""
    api_key, month = request.api_key, month_of()
    with transaction(request) as db:
        used = usage_by_subject(db, api_key.workspace_id)
    return UsageInfo(
        month=month,
        resets_on=next_month(month),
        used=used.get(api_key.workspace_id, 0),
        limit=request.services.quotas.of(api_key.workspace_id, api_key.plan_status).limit,
        key_used=used.get(api_key.key_id, 0),
        key_limit=api_key.images_per_month,
    ).model_dump(mode="json")
