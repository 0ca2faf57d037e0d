"""Decisions about the rows of a publication that waits: accept an image, or keep another one in its place.

A decision is about an image: it stays while the row's image stays, and ends when another one is rendered. Each
decision writes a state of the timeline, so that what was public stays as it was.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.checks import enqueue_check
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.publications import WAITING, NotPublishableError, count_changes
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.db.session import execute_update, lock_name
from cwz_web.i18n import gettext, gettext_noop, number

MAX_COMMENT = 500
# Deciding about this many rows takes about ten seconds in the request.
MAX_DECIDED = 20_000


class Verdict(StrEnum):
    """What is decided about a row's image."""

    ACCEPT = "accept"  # show it, although it is incomplete
    FORMER = "former"  # show what is public
    ORIGINAL = "original"  # show the row's original photo
    RESET = "reset"  # take a decision back

    @property
    def label(self) -> str:
        return gettext(VERDICT_LABELS[self])


VERDICT_LABELS = {
    Verdict.ACCEPT: gettext_noop("Accept"),
    Verdict.FORMER: gettext_noop("Keep the public image"),
    Verdict.ORIGINAL: gettext_noop("Show the original photo"),
    Verdict.RESET: gettext_noop("Take the decision back"),
}

_STAGE = text("""
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    SELECT change.key, change.base_images, CAST(change.design AS text) AS design
    FROM publication_changes AS change
    JOIN publication_rows AS row
         ON row.workspace_id = :workspace AND row.campaign_id = :campaign AND row.key = change.key
            AND row.since <= :state AND (row.until IS NULL OR row.until > :state)
    WHERE change.workspace_id = :workspace AND change.publication_id = :publication AND change.design IS NOT NULL
      AND (CAST(:keys AS text[]) IS NULL OR change.key = ANY(:keys))
      AND (CAST(:designs AS smallint[]) IS NULL OR change.design = ANY(:designs))
      AND (CAST(:column AS text) = '' OR strpos(lower(row.data ->> :column), lower(:text)) > 0)
      AND (:verdict <> 'accept' OR row.images -> CAST(change.design AS text) -> 'i' <> '[]'
           AND NOT jsonb_path_exists(row.images -> CAST(change.design AS text) -> 'i', '$[*] ? (@ == null)'))
      AND (:verdict <> 'former' OR change.base_images IS NOT NULL)
""").bindparams(bindparam("designs", type_=ARRAY(SmallInteger)))
_INSERT = text("""
    INSERT INTO publication_rows (
        workspace_id, campaign_id, key, since, data, designs, images, decisions, is_faulty)
    SELECT row.workspace_id, row.campaign_id, row.key, :next, row.data, row.designs, row.images,
           CASE WHEN :verdict = 'reset' AND row.images -> decided.design ->> 's' <> 'ok'
                     AND decided.base_images IS NOT NULL
                THEN coalesce(row.decisions, '{}') || jsonb_build_object(
                    decided.design, jsonb_build_object('v', 'kept', 'i', decided.base_images))
                WHEN :verdict = 'reset' THEN nullif(coalesce(row.decisions, '{}') - decided.design, '{}')
                ELSE coalesce(row.decisions, '{}') || jsonb_build_object(
                    decided.design, :decision || jsonb_build_object(
                        'i', CASE :verdict WHEN 'accept' THEN row.images -> decided.design -> 'i'
                                           WHEN 'former' THEN decided.base_images ELSE '[]' END)) END,
           row.is_faulty
    FROM decided JOIN publication_rows AS row
         ON row.workspace_id = :workspace AND row.campaign_id = :campaign AND row.key = decided.key
            AND row.until IS NULL
""").bindparams(bindparam("decision", type_=JSONB))
_CLOSE = text("""
    UPDATE publication_rows AS row SET until = :next FROM decided
    WHERE row.workspace_id = :workspace AND row.campaign_id = :campaign AND row.key = decided.key
      AND row.until IS NULL AND row.since < :next
""")
_SHOWN_DECIDED = f"SELECT row.* FROM ({SHOWN_ROWS}) AS row JOIN decided ON decided.key = row.key"  # noqa: S608 - constants
_TALLY = text(f"""
    SELECT count(*) FILTER (WHERE decision ->> 'v' IN ('kept', 'former')) AS kept,
           count(*) FILTER (WHERE shown IS NULL) AS missing,
           coalesce(sum(CASE WHEN decision IS NULL THEN (image ->> 'f')::bigint END), 0) AS findings
    FROM ({_SHOWN_DECIDED}) AS row
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants
_UPDATE_CHANGES = text(f"""
    UPDATE publication_changes AS change
    SET state = coalesce(row.decision ->> 'v', row.image ->> 's', 'missing'),
        differs = change.kind <> 'changed' OR row.shown IS DISTINCT FROM change.base_images
    FROM ({_SHOWN_DECIDED}) AS row
    WHERE change.workspace_id = :workspace AND change.publication_id = :publication AND change.key = row.key
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants


def decide(
    db: Session,
    campaign: Campaign,
    publication: Publication,
    verdict: Verdict,
    *,
    account_id: UUID | None,
    keys: Collection[str] | None = None,
    designs: Collection[int] | None = None,
    column: str = "",
    value: str = "",
    comment: str = "",
) -> int:
    """Decide about changed rows of a publication that waits, in the caller's transaction.

    Args:
        db: the caller's transaction.
        campaign: the campaign.
        publication: the publication.
        verdict: what is decided. Only complete or incomplete images can be accepted, and only a row that is public can
            keep its public image.
        account_id: who decides; None for an API key.
        keys: only rows with these keys.
        designs: only rows with these designs.
        column: only rows with `value` in this column, ignoring case.
        value: see there.
        comment: why.

    Returns:
        How many rows it is about.

    Raises:
        NotPublishableError: the publication does not wait any more, or there are more than MAX_DECIDED such rows.
    """
    lock_name(db, f"campaign {campaign.id}")
    db.refresh(campaign)
    db.refresh(publication)
    is_newest = publication.timeline == campaign.timeline
    if publication.state not in (PublicationState.HELD, PublicationState.SCHEDULED) or not is_newest:
        raise NotPublishableError(gettext("This publication does not wait for a decision any more"))
    decision: dict[str, Any] = {"v": verdict, "by": str(account_id or ""), "at": datetime.now(UTC).isoformat()}
    if comment:
        decision["comment"] = comment[:MAX_COMMENT]
    values: dict[str, Any] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "publication": publication.id,
        "state": publication.timeline,
        "active": publication.designs,
        "next": campaign.timeline + 1,
        "verdict": verdict.value,
    }
    targets = {
        "keys": None if keys is None else list(keys),
        "designs": None if designs is None else list(designs),
        "column": column,
        "text": value,
    }
    if execute_update(db, _STAGE, values | targets) > MAX_DECIDED:
        raise NotPublishableError(
            gettext(
                "A decision can be about at most %(max)s rows at once. Choose fewer, for example by a text in a column",
                max=number(MAX_DECIDED),
            )
        )
    db.execute(text("ANALYZE decided"))
    before = db.execute(_TALLY, values).one()
    rows = execute_update(db, _INSERT, values | {"decision": decision})
    if rows:
        execute_update(db, _CLOSE, values)
        _move_to_state(db, campaign, publication)
        values["state"] = campaign.timeline
        execute_update(db, _UPDATE_CHANGES, values)
        after = db.execute(_TALLY, values).one()
        publication.kept += after.kept - before.kept
        publication.missing += after.missing - before.missing
        publication.findings += int(after.findings - before.findings)
        publication.approvals = []
        count_changes(db, publication)
        enqueue_check(db, publication)
    db.execute(text("DROP TABLE decided"))
    return rows


def _move_to_state(db: Session, campaign: Campaign, decided: Publication) -> None:
    """Move the publications that wait to the next state; those of other phases are compared again by a job."""
    waiting = (
        Publication.workspace_id == campaign.workspace_id,
        Publication.campaign_id == campaign.id,
        Publication.state.in_(WAITING),
        Publication.timeline == campaign.timeline,
    )
    others = update(Publication).where(*waiting, Publication.id != decided.id)
    db.execute(others.values(timeline=campaign.timeline + 1, state=PublicationState.PREPARING, approvals=[]))
    campaign.timeline += 1
    decided.timeline = campaign.timeline
    if decided.state == PublicationState.SCHEDULED:
        decided.state = PublicationState.HELD
    db.flush()
