"""What a plan includes, in words: on the page of prices and where a plan is chosen."""

from cwz_web.i18n import gettext, ngettext
from cwz_web.settings import Plan


def list_plan_features(plan: Plan, history_days: int) -> list[str]:
    """Return the limits of a plan; 0 is unlimited.

    Args:
        plan: the plan.
        history_days: how long the installation keeps the history at most.
    """
    images = ngettext("%(count)s image per month", "%(count)s images per month", plan.images)
    members = ngettext("%(count)s member", "%(count)s members", plan.members)
    connections = ngettext("%(count)s storage connection", "%(count)s storage connections", plan.connections)
    feeds = ngettext("%(count)s feed", "%(count)s feeds", plan.feeds)
    uploads = ngettext("%(count)s upload", "%(count)s uploads", plan.uploads)
    days = min(plan.history_days or history_days, history_days)
    return [
        images if plan.images else gettext("Unlimited images per month"),
        members if plan.members else gettext("Unlimited members"),
        connections if plan.connections else gettext("Unlimited storage connections"),
        feeds if plan.feeds else gettext("Unlimited feeds"),
        uploads if plan.uploads else gettext("Unlimited uploads"),
        ngettext("%(count)s day of history", "%(count)s days of history", days),
    ]
