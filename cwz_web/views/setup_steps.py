"""The numbered steps of the setup, which its own page and the pages that its links open show."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from cwz_web.i18n import gettext, gettext_noop

# In a query or a form, as `next`: the page belongs to the setup, which goes on after it.
SETUP = "setup"
Next: TypeAlias = Literal["setup", ""]


class SetupStep(StrEnum):
    """What a workspace lacks until its first images."""

    STORAGE = "storage"
    FEED = "feed"
    COLUMNS = "columns"
    TEMPLATE = "template"
    RUN = "run"
    NOTHING = "nothing"


# The steps that pages number. The others are parts of the first one, or have no design of their own.
NUMBERED = {
    SetupStep.FEED: gettext_noop("Data"),
    SetupStep.TEMPLATE: gettext_noop("Design"),
    SetupStep.RUN: gettext_noop("Images"),
}
PARTS = {SetupStep.STORAGE: SetupStep.FEED, SetupStep.COLUMNS: SetupStep.FEED}


@dataclass(frozen=True)
class NumberedStep:
    """A step in the list of steps: its label, whether it is done, and whether it comes next."""

    label: str
    is_done: bool
    is_current: bool


def numbered_steps(step: SetupStep) -> list[NumberedStep]:
    """Return the list of steps for a page of one of them."""
    order = list(SetupStep)
    current = PARTS.get(step, step)
    return [
        NumberedStep(gettext(label), order.index(each) < order.index(current), each == current)
        for each, label in NUMBERED.items()
    ]


def steps_of_page(next_page: str | None, step: SetupStep) -> list[NumberedStep]:
    """Return the list of steps for a page outside of the setup; an empty one unless `next` leads back to the setup."""
    return numbered_steps(step) if next_page == SETUP else []
