"""How long a workspace's data is kept, for its settings page."""

from dataclasses import dataclass

from cwz_web.i18n import gettext, ngettext, number
from cwz_web.ops.retention import MAX_API_REQUESTS, RetentionPolicy
from cwz_web.runs.image_deletion import UNDO_TIME
from cwz_web.workspaces.deletion import GRACE


@dataclass(frozen=True)
class RetentionPeriod:
    """Some data, and how long it is kept."""

    data: str
    period: str


def list_retention_periods(policy: RetentionPolicy, plan: str) -> list[RetentionPeriod]:
    """Return how long the data of a workspace with a plan is kept.

    Args:
        policy: The operator's policy.
        plan: The workspace's plan, which may shorten the history.
    """
    requests = gettext("No log")
    if policy.requests:
        requests = gettext(
            "%(days)s, at most %(count)s requests", days=_days(policy.requests), count=number(MAX_API_REQUESTS)
        )
    minutes = UNDO_TIME.total_seconds() // 60
    periods = (
        (gettext("Templates, feeds, uploads and images"), gettext("Until they are deleted")),
        (gettext("Deleted templates"), gettext("Until the workspace is deleted")),
        (gettext("Rows of deleted feeds"), _days(policy.deleted)),
        (gettext("Deleted uploads"), _days(policy.deleted)),
        (gettext("Deleted images"), ngettext("%(count)s minute", "%(count)s minutes", int(minutes))),
        (gettext("Deleted workspace"), _days(GRACE.days)),
        (gettext("Imports and earlier values of rows"), _days(policy.history_days(plan))),
        (gettext("Activity"), _days(policy.audit)),
        (gettext("API requests"), requests),
        (gettext("Webhook deliveries"), _days(policy.deliveries)),
        (gettext("Exports"), _days(policy.exports)),
        (gettext("Counts of rendered images"), _days(policy.usage)),
    )
    return [RetentionPeriod(data, period) for data, period in periods]


def _days(count: int) -> str:
    return ngettext("%(count)s day", "%(count)s days", count)
