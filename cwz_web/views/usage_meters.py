"""The meters of what a workspace uses of each limit, on the pages of usage and billing."""

from collections.abc import Mapping
from dataclasses import dataclass

from cwz_web.billing.plans import PlanLimit
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.settings import Plan

LIMIT_LABELS = {
    PlanLimit.MEMBERS: gettext_noop("Members"),
    PlanLimit.CONNECTIONS: gettext_noop("Storage connections"),
    PlanLimit.FEEDS: gettext_noop("Feeds"),
    PlanLimit.UPLOADS: gettext_noop("Uploads"),
}


@dataclass(frozen=True)
class Meter:
    """Usage of one limit; `limit` 0 is unlimited."""

    label: str
    used: int
    limit: int


def list_meters(images: int, image_limit: int, counts: Mapping[PlanLimit, int], plan: Plan | None) -> list[Meter]:
    """Return the meters of this month's images and of each limit of a plan.

    Args:
        images: the images of this month.
        image_limit: images per month; 0 is unlimited.
        counts: what is used of the other limits (count_usage).
        plan: has the other limits; None where there are no plans.
    """
    limits = {limit: getattr(plan, limit) if plan else 0 for limit in LIMIT_LABELS}
    return [
        Meter(gettext("Images this month"), images, image_limit),
        *(Meter(gettext(label), counts[limit], limits[limit]) for limit, label in LIMIT_LABELS.items()),
    ]
