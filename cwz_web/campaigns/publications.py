"""Publications: what readers of a campaign see, saw, or will see.

The newest state of the timeline is compared with what is public, for the current phase and for those that begin soon.
Each that differs becomes a publication, which is published at once or at its time, or waits for a decision. Publishing
and going back change one row of the database.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.checks import enqueue_check
from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign, CampaignRow, Publication, PublicationState
from cwz_web.campaigns.policy import PublishPolicy, Reason, find_reasons
from cwz_web.campaigns.rules import Phase
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.db.session import FOR_NO_KEY_UPDATE, execute_update, hash_joins
from cwz_web.i18n import gettext
from cwz_web.jobs import DEFAULT_QUEUE, defer_once

# Publications beyond these, and states of the timeline that only they have, are deleted.
KEPT_PUBLICATIONS = 50
# Why a publication waits that was scheduled when its campaign was paused.
PAUSED = Reason(code="paused").model_dump()
EARLIEST = datetime.min.replace(tzinfo=UTC)
WAITING = (
    PublicationState.PREPARING,
    PublicationState.DECIDING,
    PublicationState.HELD,
    PublicationState.SCHEDULED,
)

_COUNT = text(f"""
    SELECT CAST(design AS smallint) AS design, count(*) AS rows,
           count(*) FILTER (WHERE decision ->> 'v' IN ('kept', 'former')) AS kept,
           count(*) FILTER (WHERE shown IS NULL) AS missing,
           coalesce(sum(CASE WHEN decision IS NULL THEN (image ->> 'f')::bigint END), 0) AS findings
    FROM ({SHOWN_ROWS}) AS row GROUP BY design
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants

# With the same designs, only the rows that another state has written can differ; others can still lack an image.
_STAGE_WRITTEN = text("""
    CREATE TEMPORARY TABLE written_rows ON COMMIT DROP AS
    SELECT key FROM publication_rows
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND since > :first AND since <= :last
    UNION
    SELECT key FROM publication_rows
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND until > :first AND until <= :last
    UNION
    SELECT key FROM publication_rows
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND is_faulty AND until IS NULL
""")
# So many rows are read by their keys; more by reading all rows once.
_MAX_READ_BY_KEY = 20_000
_INSERT_CHANGES = """
    INSERT INTO publication_changes (
        workspace_id, publication_id, position, key, kind, design, base_design, images, base_images, state, differs,
        findings)
    SELECT :workspace, :publication, row_number() OVER (ORDER BY key), key,
           CASE WHEN base_key IS NULL THEN 'new' WHEN new_key IS NULL THEN 'removed' ELSE 'changed' END,
           CAST(design AS smallint), CAST(base_design AS smallint), image -> 'i', base_shown,
           coalesce(decision ->> 'v', image ->> 's', 'missing'), new_key IS NULL OR base_key IS NULL OR differs,
           coalesce((image ->> 'f')::int, 0)
    FROM (
        SELECT coalesce(new.key, base.key) AS key, new.key AS new_key, base.key AS base_key, new.design,
               base.design AS base_design, base.shown AS base_shown, new.image, new.decision,
               new.shown IS DISTINCT FROM base.shown AS differs
        FROM ({rows}) AS new FULL JOIN ({base_rows}) AS base ON base.key = new.key
        WHERE new.key IS NULL OR base.key IS NULL OR new.shown IS DISTINCT FROM base.shown
           OR new.decision IS NOT NULL OR new.image ->> 's' <> 'ok'
    ) AS row
"""
_COUNT_UPDATED = """
    SELECT count(*) FROM ({rows}) AS new JOIN ({base_rows}) AS base ON base.key = new.key
    WHERE new.data <> base.data AND new.shown IS NOT DISTINCT FROM base.shown
"""
_DELETE_CHANGES = text(
    "DELETE FROM publication_changes WHERE workspace_id = :workspace AND publication_id = :publication"
)
_COUNT_CHANGES = text("""
    SELECT kind, count(*) AS rows FROM publication_changes
    WHERE workspace_id = :workspace AND publication_id = :publication AND differs GROUP BY kind
""")
# Each image of a row was rendered by a run of its feed, and runs keep the ids of deleted images. So the deleted images
# are looked for in the rows, and not the images of all rows among those that exist.
_SHOWN_ROW = SHOWN_ROWS.replace("WHERE row.workspace_id", "WHERE row.key = gone.key AND row.workspace_id")
_LOST_IMAGES = text(f"""
    WITH gone AS MATERIALIZED (
        SELECT DISTINCT item.key, CAST(item.deleted_image_id AS text) AS image_id
        FROM run_items AS item JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
        WHERE item.workspace_id = :workspace AND item.deleted_image_id IS NOT NULL AND run.feed_id = :feed
          AND NOT EXISTS (SELECT FROM images WHERE workspace_id = :workspace AND id = item.deleted_image_id)
    )
    SELECT EXISTS (
        SELECT FROM gone CROSS JOIN LATERAL ({_SHOWN_ROW} OFFSET 0) AS row WHERE row.shown ? gone.image_id)
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants
_DELETE_ROWS = text("""
    DELETE FROM publication_rows
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND until <= (
        SELECT min(timeline) FROM publications WHERE workspace_id = :workspace AND campaign_id = :campaign)
""")


class ApprovalRequiredError(Exception):
    """A publication needs the approval of two members."""


class NotPublishableError(Exception):
    """A publication cannot be published (any more); the message says why."""


def get_public(db: Session, campaign: Campaign) -> Publication | None:
    """Return the publication that readers see."""
    if campaign.public_id is None:
        return None
    return db.get_one(Publication, (campaign.workspace_id, campaign.public_id))


def list_publications(db: Session, campaign: Campaign, limit: int = KEPT_PUBLICATIONS) -> list[Publication]:
    """Return the publications of a campaign, newest first."""
    return list(db.scalars(select(Publication).where(*_of(campaign)).order_by(Publication.number.desc()).limit(limit)))


def list_waiting(db: Session, campaign: Campaign) -> list[Publication]:
    """Return the publications that wait for a decision or for their time, the one for now first."""
    waiting = select(Publication).where(*_of(campaign), Publication.state.in_(WAITING))
    return list(db.scalars(waiting.order_by(Publication.publish_at.nulls_first(), Publication.number)))


def create_publications(db: Session, campaign: Campaign, phases: Sequence[Phase]) -> list[Publication]:
    """Create a publication for each phase that differs from what is public before it.

    Those that wait are discarded, unless they are the same. What was approved for a later phase stays until another
    publication is approved for it, so that a window ends in any case. Returns the new ones.
    """
    now = datetime.now(UTC)
    # What waits for a decision since its phase has begun is that of the current phase.
    waiting = {
        (each.timeline, tuple(each.designs), each.publish_at if (each.publish_at or now) > now else None): each
        for each in list_waiting(db, campaign)
    }
    kept: list[UUID] = []
    created: list[Publication] = []
    undecided: set[datetime | None] = set()
    base = get_public(db, campaign)
    for phase in phases:
        key = (campaign.timeline, phase.designs, phase.begin)
        if key in waiting:
            publication = waiting[key]
        elif base and (base.timeline, tuple(base.designs)) == key[:2]:
            continue
        else:
            publication = _create(db, campaign, phase, base)
            created.append(publication)
        kept.append(publication.id)
        if publication.state != PublicationState.SCHEDULED:
            undecided.add(phase.begin)
        base = publication
    for (_, _, begin), publication in waiting.items():
        is_approved = publication.state == PublicationState.SCHEDULED and begin is not None
        if publication.id not in kept and not (is_approved and begin in undecided):
            publication.state = PublicationState.DISCARDED
    db.flush()
    return created


def _create(db: Session, campaign: Campaign, phase: Phase, base: Publication | None) -> Publication:
    number = db.scalar(select(func.coalesce(func.max(Publication.number), 0)).where(*_of(campaign))) or 0
    publication = Publication(
        workspace_id=campaign.workspace_id,
        campaign_id=campaign.id,
        number=number + 1,
        timeline=campaign.timeline,
        designs=list(phase.designs),
        state=PublicationState.PREPARING,
        publish_at=phase.begin,
        columns=load_columns(db, campaign).names,
        photo_column=campaign.photo_column,
        outputs=campaign.outputs,
        rules=campaign.rules,
    )
    db.add(publication)
    db.flush()
    compare(db, campaign, publication, base)
    evaluate_policy(db, campaign, publication)
    return publication


def compare(db: Session, campaign: Campaign, publication: Publication, base: Publication | None) -> None:
    """Write the changes of a publication against another one, and count its rows."""
    values: dict[str, Any] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "publication": publication.id,
        "state": publication.timeline,
        "active": publication.designs,
        "base_state": base.timeline if base else -1,
        "base_active": base.designs if base else [],
    }
    db.execute(_DELETE_CHANGES, values)
    publication.base_id = base.id if base else None
    rows = SHOWN_ROWS
    joins: AbstractContextManager[None] = hash_joins(db)
    if base and base.designs == publication.designs:
        between = {"first": min(base.timeline, publication.timeline), "last": max(base.timeline, publication.timeline)}
        written = execute_update(db, _STAGE_WRITTEN, values | between)
        db.execute(text("ANALYZE written_rows"))
        rows = SHOWN_ROWS.replace("WHERE row.workspace_id", "JOIN written_rows USING (key) WHERE row.workspace_id")
        if written <= _MAX_READ_BY_KEY:
            joins = nullcontext()
    base_rows = rows.replace(":state", ":base_state").replace(":active", ":base_active")
    with joins:
        db.execute(_bind(_INSERT_CHANGES.format(rows=rows, base_rows=base_rows)), values)
        updated = db.execute(_bind(_COUNT_UPDATED.format(rows=rows, base_rows=base_rows)), values)
    publication.updated = updated.scalar_one()
    db.execute(text("DROP TABLE IF EXISTS written_rows"))
    recount(db, campaign, publication)
    enqueue_check(db, publication)


def recount(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Count the rows of a publication, and its changes."""
    values = {"workspace": campaign.workspace_id, "campaign": campaign.id}
    counts = db.execute(_COUNT, values | {"state": publication.timeline, "active": publication.designs}).all()
    publication.design_counts = {str(row.design): row.rows for row in counts}
    publication.rows = sum(row.rows for row in counts)
    publication.kept, publication.missing = sum(row.kept for row in counts), sum(row.missing for row in counts)
    publication.findings = int(sum(row.findings for row in counts))
    count_changes(db, publication)


def count_changes(db: Session, publication: Publication) -> None:
    """Count the rows of a publication that differ from its base."""
    set_kinds(publication, count_kinds(db, publication))
    db.flush()


def count_kinds(db: Session, publication: Publication) -> dict[str, int]:
    """Return how many rows of a publication differ from its base, by the kind of the change."""
    values = {"workspace": publication.workspace_id, "publication": publication.id}
    return {row.kind: row.rows for row in db.execute(_COUNT_CHANGES, values)}


def set_kinds(publication: Publication, kinds: Mapping[str, int]) -> None:
    """Set how many rows of a publication differ from its base."""
    publication.new, publication.changed = kinds.get("new", 0), kinds.get("changed", 0)
    publication.removed = kinds.get("removed", 0)
    publication.unchanged = publication.rows - publication.new - publication.changed


def evaluate_policy(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Let a publication wait for its time, or for a decision if the policy asks for one."""
    unclear = 0
    if campaign.unclear:  # of two rules that could not be decided, a row counts once
        rows = select(func.count()).where(
            CampaignRow.workspace_id == campaign.workspace_id,
            CampaignRow.campaign_id == campaign.id,
            CampaignRow.unclear.is_not(None),
        )
        unclear = db.scalar(rows) or 0
    policy = PublishPolicy.model_validate(campaign.policy)
    names = ("rows", "new", "changed", "removed", "kept", "missing", "findings")
    counts = {name: getattr(publication, name) for name in names}
    errors, refused = None, 0
    if publication.channel_checks is not None:
        errors = sum(check["new_errors"] for check in publication.channel_checks)
        refused = sum(check.get("new_refused", 0) for check in publication.channel_checks)
    is_first = publication.base_id is None
    reasons = find_reasons(
        policy, counts, is_first=is_first, unclear=unclear, channel_errors=errors, refused_images=refused
    )
    if _is_approved_already(db, campaign, publication):
        reasons = []
    if not campaign.is_active and PAUSED in publication.reasons:
        reasons.append(Reason(code="paused"))
    publication.reasons = [reason.model_dump() for reason in reasons]
    publication.state = PublicationState.HELD if reasons else PublicationState.SCHEDULED


def _is_approved_already(db: Session, campaign: Campaign, publication: Publication) -> bool:
    """Return whether a publication shows the same as the public one, or as one that is scheduled."""
    public = get_public(db, campaign)
    approved = [each for each in list_waiting(db, campaign) if each.state == PublicationState.SCHEDULED]
    approved += [public] if public else []
    is_unchanged = not (publication.new or publication.changed or publication.removed or publication.updated)
    return any(_shows_same(publication, each) or (is_unchanged and publication.base_id == each.id) for each in approved)


def _shows_same(one: Publication, other: Publication) -> bool:
    return (one.timeline, one.designs) == (other.timeline, other.designs)


def hold_scheduled(db: Session, campaign: Campaign) -> list[Publication]:
    """Let the scheduled publications of a campaign that is paused wait for a decision. Return them."""
    held = [each for each in list_waiting(db, campaign) if each.state == PublicationState.SCHEDULED]
    for publication in held:
        publication.state, publication.reasons = PublicationState.HELD, [PAUSED]
    db.flush()
    return held


def reschedule(db: Session, campaign: Campaign) -> list[Publication]:
    """Schedule again what waits only since its campaign was paused, unless its time has passed. Return it."""
    now = datetime.now(UTC)
    paused = [
        each
        for each in list_waiting(db, campaign)
        if each.state == PublicationState.HELD
        and each.reasons == [PAUSED]
        and each.publish_at
        and each.publish_at > now
    ]
    for publication in paused:
        publication.state, publication.reasons = PublicationState.SCHEDULED, []
    db.flush()
    return paused


def check_waits(publication: Publication, *states: PublicationState) -> None:
    """Check that a publication is in one of some states. Raises NotPublishableError."""
    if publication.state in states:
        return
    if publication.state == PublicationState.DECIDING:
        raise NotPublishableError(
            gettext("A decision about this publication is being applied. Wait until it is done, then try again")
        )
    raise NotPublishableError(gettext("This publication does not wait for a decision any more"))


def is_being_checked(publication: Publication) -> bool:
    """Return whether a publication waits for the check of its channels only."""
    codes = [reason["code"] for reason in publication.reasons]
    return publication.state == PublicationState.HELD and codes == ["checking"]


def approve(db: Session, campaign: Campaign, publication: Publication, account_id: UUID | None) -> bool:
    """Approve a publication that waits for a decision. Return whether it has all approvals that it needs.

    Args:
        db: the caller's transaction.
        campaign: the campaign.
        publication: the publication.
        account_id: who approves it; None for an API key, which counts as one member.

    Raises:
        NotPublishableError: it does not wait for a decision (any more).
        ApprovalRequiredError: it needs two members, and an API key approves it.
    """
    needed = PublishPolicy.model_validate(campaign.policy).approvals
    if account_id is None and needed > 1:
        raise ApprovalRequiredError
    db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
    check_waits(publication, PublicationState.HELD)
    if account_id is not None:
        publication.approvals = list(dict.fromkeys([*publication.approvals, str(account_id)]))
    if account_id is not None and len(publication.approvals) < needed:
        db.flush()
        return False
    publication.state = PublicationState.SCHEDULED
    _schedule_same(db, campaign, publication)
    for waiting in list_waiting(db, campaign):
        if waiting.publish_at == publication.publish_at and waiting.number < publication.number:
            waiting.state = PublicationState.DISCARDED
    db.flush()
    return True


def _schedule_same(db: Session, campaign: Campaign, approved: Publication) -> None:
    """Schedule what shows the same as an approved publication at a later time, such as at the end of a window."""
    now = datetime.now(UTC)
    for waiting in list_waiting(db, campaign):
        is_held = waiting.state == PublicationState.HELD and PAUSED not in waiting.reasons
        if is_held and waiting.publish_at and waiting.publish_at > now and _shows_same(waiting, approved):
            waiting.state = PublicationState.SCHEDULED


def discard(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Discard a publication that waits, so that what is public stays. Raises NotPublishableError."""
    db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
    check_waits(publication, *WAITING)
    publication.state = PublicationState.DISCARDED
    db.flush()


def publish(db: Session, campaign: Campaign, publication: Publication, account_id: UUID | None = None) -> None:
    """Make a publication public, and discard what waits for an earlier phase, in the caller's transaction.

    Args:
        db: the caller's transaction.
        campaign: the campaign.
        publication: the publication; one that was public before is published again as it was.
        account_id: who publishes it; None if a job does.

    Raises:
        NotPublishableError: it was discarded, or images of it were deleted since.
    """
    db.refresh(campaign, with_for_update=FOR_NO_KEY_UPDATE)
    db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
    check_waits(publication, *(state for state in PublicationState if state != PublicationState.DECIDING))
    if publication.state in (PublicationState.DISCARDED, PublicationState.PREPARING):
        raise NotPublishableError(gettext("Another publication has taken the place of this one. Review the newest one"))
    publication.state = PublicationState.PUBLISHED
    publication.published_at, publication.published_by = datetime.now(UTC), account_id
    campaign.public_id = publication.id
    db.flush()
    _enqueue_channels_and_shops(db, campaign)
    # What still waits for an earlier phase must not replace it later. What is newer for this phase is compared with it.
    begin = publication.publish_at or EARLIEST
    for waiting in list_waiting(db, campaign):
        waiting_begin = waiting.publish_at or EARLIEST
        if waiting_begin < begin or (waiting_begin == begin and waiting.number < publication.number):
            waiting.state = PublicationState.DISCARDED
        elif waiting_begin == begin and waiting.state == PublicationState.HELD:
            waiting.state, waiting.approvals = PublicationState.PREPARING, []
    _schedule_same(db, campaign, publication)
    db.flush()


def _enqueue_channels_and_shops(db: Session, campaign: Campaign) -> None:
    """Enqueue the jobs that write the feeds of the campaign's channels, and its images into shops."""
    for task, name in (("channels.write_campaign", "channels"), ("shops.sync_campaign", "shops")):
        defer_once(
            db,
            task,
            queue=DEFAULT_QUEUE,
            queueing_lock=f"{name} of {campaign.id}",
            workspace_id=str(campaign.workspace_id),
            campaign_id=str(campaign.id),
        )


def check_images(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Check that all images of an earlier publication still exist. Raises NotPublishableError."""
    values = {"workspace": campaign.workspace_id, "campaign": campaign.id, "feed": campaign.feed_id}
    if db.scalar(_LOST_IMAGES, values | {"state": publication.timeline, "active": publication.designs}):
        raise NotPublishableError(gettext("Images of this publication were deleted since, so it cannot be restored"))


def roll_back(db: Session, campaign: Campaign, publication: Publication, account_id: UUID | None = None) -> None:
    """Make an earlier publication public again, and stop following the feed until people resume it.

    Nothing is rendered. Arguments and errors as for publish.
    """
    if publication.published_at is None:
        raise NotPublishableError(gettext("This publication was never public"))
    check_images(db, campaign, publication)
    publish(db, campaign, publication, account_id)
    campaign.is_active = campaign.is_requested = False
    db.execute(
        update(Publication)
        .where(*_of(campaign), Publication.state.in_(WAITING), Publication.id != publication.id)
        .values(state=PublicationState.DISCARDED)
    )
    db.flush()


def delete_old(db: Session, campaign: Campaign) -> None:
    """Delete the publications beyond KEPT_PUBLICATIONS, and the rows that only they have."""
    numbers = select(Publication.number).where(*_of(campaign)).order_by(Publication.number.desc())
    oldest = db.scalar(numbers.offset(KEPT_PUBLICATIONS).limit(1))
    if oldest is None:
        return
    old = select(Publication).where(*_of(campaign), Publication.number <= oldest)
    for publication in db.scalars(old):
        if publication.id != campaign.public_id and publication.state not in WAITING:
            db.delete(publication)
    db.flush()
    db.execute(_DELETE_ROWS, {"workspace": campaign.workspace_id, "campaign": campaign.id})


def _of(campaign: Campaign) -> tuple[Any, ...]:
    return Publication.workspace_id == campaign.workspace_id, Publication.campaign_id == campaign.id


def _bind(statement: str) -> Any:
    return text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(SmallInteger)) for name in ("active", "base_active"))
    )
