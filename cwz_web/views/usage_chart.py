"""The chart of images per day, on the overview and on the pages of usage and billing."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.generation.usage import usage_by_day


@dataclass(frozen=True)
class DayUsage:
    """A bar of the chart; `height` is in percent of the highest one."""

    day: date
    images: int
    height: int


def find_day_usage(db: Session, workspace_id: UUID) -> list[DayUsage]:
    """Return the bars of the last 30 days, today last."""
    days = usage_by_day(db, workspace_id)
    highest = max(max(used for _, used in days), 1)
    return [DayUsage(day, used, round(used * 100 / highest)) for day, used in days]
