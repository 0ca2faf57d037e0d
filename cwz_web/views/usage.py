"""The usage of a workspace. Where there are plans, those who manage billing see it on the page "Billing"."""

from dataclasses import dataclass
from datetime import date

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import count_usage, find_plan
from cwz_web.generation.key_list import list_key_names
from cwz_web.generation.usage import month_of, next_month, usage_by_subject
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.views.usage_chart import DayUsage, find_day_usage
from cwz_web.views.usage_meters import Meter, list_meters
from cwz_web.web.request import Request


@dataclass(frozen=True)
class UsagePage:
    """The view model of usage.jinja2.

    Attributes:
        meters: What is used of each limit.
        sources: The images of the month by API key, most first, those of all older keys, and those without a key.
        resets_on: The first day of the next month.
        days: The images of the last days.
    """

    meters: list[Meter]
    sources: list[tuple[str, int]]
    resets_on: date
    days: list[DayUsage]


@view_config(
    context=WorkspaceResource,
    name="usage",
    request_method="GET",
    renderer="usage.jinja2",
    permission=Permission.VIEW,
)
def usage_page(context: WorkspaceResource, request: Request) -> UsagePage | Response:
    """Show what the workspace has used."""
    has_plans = request.services.billing is not None
    if has_plans and request.has_permission(Permission.BILLING_MANAGE):
        return HTTPSeeOther(request.path_in("billing"))
    db, workspace_id = request.db, context.access.workspace_id
    used, counts = usage_by_subject(db, workspace_id), count_usage(db, workspace_id)
    plan = find_plan(request.services.settings, request.workspace.plan_status.plan) if has_plans else None
    total = used.pop(workspace_id, 0)
    quota = request.services.quotas.of(workspace_id, request.workspace.plan_status)
    names = list_key_names(db, workspace_id)
    by_key = [(names[str(key_id)], images) for key_id, images in used.items() if str(key_id) in names]
    older = sum(used.values()) - sum(images for _, images in by_key)
    rest = [(gettext("Older keys"), older), (gettext("Runs, previews and signed URLs"), total - sum(used.values()))]
    return UsagePage(
        meters=list_meters(total, quota.limit or 0, counts, plan),
        sources=[source for source in [*sorted(by_key, key=lambda source: -source[1]), *rest] if source[1] > 0],
        resets_on=next_month(month_of()),
        days=find_day_usage(db, workspace_id),
    )
