"""Decisions about the rows of a publication that waits: accept an image, or keep another one in its place.

A decision is about an image: it stays while the row's image stays, and ends when another one is rendered. Each
decision writes a state of the timeline, so that what was public stays as it was.

A decision that may concern more rows than a request can change is stored with the publication, and the campaign's next
job applies it in one transaction: whole and once, or not at all.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.checks import enqueue_check
from cwz_web.campaigns.models import Campaign, Publication, PublicationChange, PublicationState
from cwz_web.campaigns.publications import PAUSED, WAITING, NotPublishableError, check_waits, count_kinds, set_kinds
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.db.session import FOR_NO_KEY_UPDATE, execute_update, hash_joins, try_lock_name
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.workspaces.audit import Actor, record

MAX_COMMENT = 500
# A decision that may be about more rows is left to a job. Deciding about this many takes about ten seconds.
MAX_DECIDED = 20_000
# A job decides about so many rows at a time, and then reports its progress.
BATCH = 50_000

# Called with how many rows are decided, and how many there are.
Progress = Callable[[int, int], None]


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
    Verdict.RESET: gettext_noop("Undo decision"),
}

_STAGE = text("""
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    SELECT change.key, change.base_images, CAST(change.design AS text) AS design,
           (row_number() OVER () - 1) / :batch AS batch
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
    WHERE decided.batch = :number
""").bindparams(bindparam("decision", type_=JSONB))
_CLOSE = text("""
    UPDATE publication_rows AS row SET until = :next FROM decided
    WHERE row.workspace_id = :workspace AND row.campaign_id = :campaign AND row.key = decided.key
      AND row.until IS NULL AND row.since < :next AND decided.batch = :number
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


class Decision(BaseModel):
    """A decision about changed rows of a publication, as it is stored for a job.

    Attributes:
        verdict: what is decided. Only complete or incomplete images can be accepted, and only a row that is public can
            keep its public image.
        actor: who decides.
        at: when.
        keys: only rows with these keys.
        designs: only rows with these designs.
        column: only rows with `value` in this column, ignoring case.
        value: see there.
        comment: why.
        done: how many rows a job has decided about so far.
        total: how many it will; 0 before it has found them.
        rows: how many rows the decision was about; None before it was applied.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Verdict
    actor: Actor
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    keys: list[str] | None = None
    designs: list[int] | None = None
    column: str = ""
    value: str = ""
    comment: str = ""
    done: int = 0
    total: int = 0
    rows: int | None = None


def decide(db: Session, campaign: Campaign, publication: Publication, decision: Decision) -> int | None:
    """Decide about changed rows of a publication that waits, in the caller's transaction or by the campaign's next job.

    The caller enqueues the job.

    Returns:
        How many rows the decision is about; None if it is left to the job, since it may be about more than MAX_DECIDED
        rows, or since another job of the campaign is working.

    Raises:
        NotPublishableError: the publication does not wait any more, or another decision is being applied.
    """
    is_free = not _may_be_large(db, publication, decision) and try_lock_name(db, f"campaign {campaign.id}")
    db.refresh(campaign, with_for_update=FOR_NO_KEY_UPDATE)
    db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
    check_waits(publication, PublicationState.HELD, PublicationState.SCHEDULED)
    if publication.timeline != campaign.timeline:
        raise NotPublishableError(gettext("This publication does not wait for a decision any more"))
    if find_deciding(db, campaign):
        raise NotPublishableError(
            gettext("A decision about another publication of this campaign is being applied. Try again in a minute")
        )
    if is_free:
        return _apply(db, campaign, publication, decision)
    # The audit entry of the request has the address.
    stored = decision.model_copy(update={"actor": replace(decision.actor, ip_address="")})
    publication.decision = stored.model_dump(mode="json")
    publication.state, publication.approvals = PublicationState.DECIDING, []
    db.flush()
    return None


def find_deciding(db: Session, campaign: Campaign) -> Publication | None:
    """Return the publication of a campaign that a decision waits to be applied to."""
    deciding = select(Publication).where(
        Publication.workspace_id == campaign.workspace_id,
        Publication.campaign_id == campaign.id,
        Publication.state == PublicationState.DECIDING,
    )
    return db.scalars(deciding.limit(1)).first()


def apply_stored_decision(db: Session, campaign: Campaign, progress: Progress | None = None) -> None:
    """Apply the decision that waits for a job, if there is one, and add its audit entry.

    Args:
        db: the job's transaction, in which nothing else changes the campaign's timeline.
        campaign: the campaign.
        progress: called after each batch; in a transaction of its own, since this one has not changed the publication.
    """
    publication = find_deciding(db, campaign)
    if publication is None:
        return
    decision = Decision.model_validate(publication.decision)
    try:
        if publication.timeline != campaign.timeline:
            raise _SupersededError
        with db.begin_nested():
            rows = _apply(db, campaign, publication, decision, progress)
    except _SupersededError:
        db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
        if publication.state == PublicationState.DECIDING:  # the next publication takes its place
            publication.state = PublicationState.HELD
        db.flush()
        return
    unnamed = Actor(None, "", "")  # the audit log says who it was
    applied = decision.model_copy(update={"rows": rows, "done": rows, "total": rows, "actor": unnamed})
    publication.state, publication.decision = PublicationState.HELD, applied.model_dump(mode="json")
    db.flush()
    details = {
        "campaign": str(campaign.id),
        "number": publication.number,
        "rows": rows,
        **{name: getattr(decision, name) for name in ("verdict", "column", "value", "comment")},
    }
    record(db, campaign.workspace_id, decision.actor, "publication.decide", campaign.name, details)


def read_decision(publication: Publication) -> Decision | None:
    """Return the newest decision about a publication that is or was left to a job."""
    return None if publication.decision is None else Decision.model_validate(publication.decision)


class _SupersededError(Exception):
    """The publication of a stored decision was discarded, or another one has taken its place."""


def _may_be_large(db: Session, publication: Publication, decision: Decision) -> bool:
    """Return whether a decision may be about more than MAX_DECIDED rows: without reading their cells."""
    if decision.keys is not None:
        return len(decision.keys) > MAX_DECIDED
    changes = select(PublicationChange.position).where(
        PublicationChange.workspace_id == publication.workspace_id,
        PublicationChange.publication_id == publication.id,
    )
    if decision.designs is not None:
        changes = changes.where(PublicationChange.design.in_(decision.designs))
    counted = select(func.count()).select_from(changes.limit(MAX_DECIDED + 1).subquery())
    return (db.scalar(counted) or 0) > MAX_DECIDED


def _apply(
    db: Session, campaign: Campaign, publication: Publication, decision: Decision, progress: Progress | None = None
) -> int:
    values: dict[str, Any] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "publication": publication.id,
        "state": publication.timeline,
        "active": publication.designs,
        "next": campaign.timeline + 1,
        "verdict": decision.verdict.value,
    }
    former_state = publication.state
    joins = hash_joins if _may_be_large(db, publication, decision) else _any_joins
    with _staged(db, decision, values, joins) as total:
        with joins(db):
            before = db.execute(_TALLY, values).one()
        stored = {"v": decision.verdict, "by": str(decision.actor.account_id or ""), "at": decision.at.isoformat()}
        if decision.comment:
            stored["comment"] = decision.comment[:MAX_COMMENT]
        for number in range(-(-total // BATCH)):
            if progress:
                progress(number * BATCH, total)
            execute_update(db, _INSERT, values | {"decision": stored, "number": number})
            execute_update(db, _CLOSE, values | {"number": number})
        if total:
            values["state"] = values["next"]
            with joins(db):
                execute_update(db, _UPDATE_CHANGES, values)
                after = db.execute(_TALLY, values).one()
            kinds = count_kinds(db, publication)
            # Only now, so that going back, for example, does not wait while many rows are decided.
            db.refresh(campaign, with_for_update=FOR_NO_KEY_UPDATE)
            db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
            if publication.state != former_state:
                raise _SupersededError
            _move_to_state(db, campaign, publication)
            publication.kept += after.kept - before.kept
            publication.missing += after.missing - before.missing
            publication.findings += int(after.findings - before.findings)
            publication.approvals = []
            publication.reasons = [each for each in publication.reasons if each != PAUSED]  # needs an approval
            set_kinds(publication, kinds)
            db.flush()
            enqueue_check(db, publication)
    return total


def _any_joins(_: Session) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _staged(
    db: Session, decision: Decision, values: dict[str, Any], joins: Callable[[Session], AbstractContextManager[None]]
) -> Iterator[int]:
    """Stage the rows that a decision is about, during the block. Yield how many there are."""
    targets = {
        "keys": decision.keys,
        "designs": decision.designs,
        "column": decision.column,
        "text": decision.value,
        "batch": BATCH,
    }
    with joins(db):
        total = execute_update(db, _STAGE, values | targets)
    db.execute(text("ANALYZE decided"))
    yield total
    db.execute(text("DROP TABLE decided"))


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
