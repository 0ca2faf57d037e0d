"""When a publication is published without a decision, and why one waits for it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext, ngettext, number

ReasonCode = Literal[
    "manual",
    "first",
    "changed",
    "removed",
    "findings",
    "missing",
    "unclear",
    "paused",
    "channels",
    "images",
    "checking",
]


class PublishPolicy(BaseModel):
    """What a publication may contain so that it is published without a decision.

    Attributes:
        auto_publish: whether any publication is.
        max_changed_percent: the share of rows that may be new, changed or removed.
        max_findings: how many findings its images may have; None for any number.
        max_missing: how many rows may have no image of their own.
        hold_channel_errors: whether one waits of which a channel would leave out more rows than now.
        hold_refused_images: whether one waits of which a channel would show more images than now that its platform
            refuses.
        approvals: how many members have to approve one that waits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auto_publish: bool = False
    max_changed_percent: Annotated[int, Field(ge=0, le=100)] = 20
    max_findings: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    max_missing: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    hold_channel_errors: bool = False
    hold_refused_images: bool = False
    approvals: Annotated[int, Field(ge=1, le=2)] = 1


class Reason(BaseModel):
    """Why a publication waits for a decision: the code, the value it has, and the one that would be allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: ReasonCode
    value: int = 0
    limit: int = 0

    def describe(self) -> str:
        """Return the reason as a sentence, in the locale of the reader."""
        match self.code:
            case "first":
                return gettext("It is the first publication of this campaign")
            case "changed":
                return gettext(
                    "%(value)s%% of the rows differ from the public ones; %(limit)s%% are allowed without a decision",
                    value=number(self.value),
                    limit=number(self.limit),
                )
            case "findings":
                return ngettext(
                    "Its images have %(count)s finding; %(limit)s are allowed without a decision",
                    "Its images have %(count)s findings; %(limit)s are allowed without a decision",
                    self.value,
                    limit=number(self.limit),
                )
            case "missing":
                return ngettext(
                    "%(count)s row has no complete image of its own; %(limit)s are allowed without a decision",
                    "%(count)s rows have no complete image of their own; %(limit)s are allowed without a decision",
                    self.value,
                    limit=number(self.limit),
                )
            case "unclear":
                return ngettext(
                    "A rule could not be decided for %(count)s row",
                    "A rule could not be decided for %(count)s rows",
                    self.value,
                )
            case "paused":
                return gettext("The campaign was paused before its time")
            case "channels":
                return ngettext(
                    "Channels would leave out %(count)s more row than now",
                    "Channels would leave out %(count)s more rows than now",
                    self.value,
                )
            case "images":
                return ngettext(
                    "Channels would show %(count)s more image than now that their platforms refuse",
                    "Channels would show %(count)s more images than now that their platforms refuse",
                    self.value,
                )
            case "checking":
                return gettext("Its channels are being checked")
        return gettext("This campaign is published only after a decision")


def find_reasons(
    policy: PublishPolicy,
    counts: Mapping[str, Any],
    *,
    is_first: bool,
    unclear: int,
    channel_errors: int | None = 0,
    refused_images: int = 0,
) -> list[Reason]:
    """Return why a publication waits for a decision; none if it can be published.

    Args:
        policy: the campaign's policy.
        counts: the counts of the publication, by the names of `models.Publication`.
        is_first: whether nothing was public before.
        unclear: for how many rows a rule could not be decided.
        channel_errors: how many rows more than now channels would leave out; None before that is known.
        refused_images: how many more images than now channels would show that their platforms refuse.
    """
    if not policy.auto_publish:
        return [Reason(code="manual")]
    reasons = []
    differing = counts["new"] + counts["changed"] + counts["removed"]
    rows = max(counts["rows"], 1)
    if not is_first and differing * 100 > policy.max_changed_percent * rows:
        percent = -(-differing * 100 // rows)
        reasons.append(Reason(code="changed", value=percent, limit=policy.max_changed_percent))
    if policy.max_findings is not None and counts["findings"] > policy.max_findings:
        reasons.append(Reason(code="findings", value=counts["findings"], limit=policy.max_findings))
    faulty = counts["kept"] + counts["missing"]
    if faulty > policy.max_missing:
        reasons.append(Reason(code="missing", value=faulty, limit=policy.max_missing))
    if unclear:
        reasons.append(Reason(code="unclear", value=unclear))
    if channel_errors is None and (policy.hold_channel_errors or policy.hold_refused_images) and not reasons:
        reasons.append(Reason(code="checking"))
    if policy.hold_channel_errors and channel_errors:
        reasons.append(Reason(code="channels", value=channel_errors))
    if policy.hold_refused_images and refused_images:
        reasons.append(Reason(code="images", value=refused_images))
    return reasons
