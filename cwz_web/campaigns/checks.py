"""What the images of a publication show: what was found in them, and by how many pixels they differ from the former.

Both take longer than a request: a job finds them after a publication was compared or decided about.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.models import ChangeKind, Publication, PublicationChange
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.db.session import Transaction
from cwz_web.generation.images import read_image
from cwz_web.generation.models import Image
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.pixel_difference import compare_files
from cwz_web.jobs import PREPARE_QUEUE, defer_once
from cwz_web.storage.contract import StorageError
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

CHANNELS_TASK = "channels.check_publication"
# The changed rows whose difference is measured, in batches that are written one by one.
MAX_MEASURED, BATCH = 2000, 50
# Images are compared at this size, since their share counts and not single pixels.
SIDE = 600
# How much a channel may differ, of 255, before a pixel counts: lossy formats change what they show a little.
THRESHOLD = 16
MAX_GROUPS, MAX_KEYS = 200, 8
# The groups of rows without a complete image, the worst first.
FAULTS = ("failed", "missing", "incomplete")


# Of an image in several runs, the findings of the newest one count.
_FINDINGS = """
    SELECT row.key, row.design, finding ->> 'code' AS code, finding ->> 'layer' AS layer,
           finding ->> 'message' AS message
    FROM ({rows}) AS row
    CROSS JOIN LATERAL jsonb_array_elements_text(row.image -> 'i') AS image_id
    CROSS JOIN LATERAL (
        SELECT item.findings FROM run_items AS item
        WHERE item.workspace_id = :workspace AND item.image_id = CAST(image_id AS uuid) AND item.state <> 'pending'
        ORDER BY item.key = row.key DESC, item.run_id DESC LIMIT 1
    ) AS item
    CROSS JOIN LATERAL jsonb_array_elements(item.findings) AS finding
    WHERE row.decision IS NULL AND (row.image ->> 'f')::int > 0
"""
_FAULTS = """
    SELECT key, design, coalesce(image ->> 's', 'missing') AS code, '' AS layer, '' AS message
    FROM ({rows}) AS row
    WHERE coalesce(image ->> 's', 'missing') <> 'ok' AND (decision IS NULL OR decision ->> 'v' = 'kept')
"""
_GROUPS = text(f"""
    SELECT code, layer, CAST(design AS smallint) AS design, min(message) AS message, count(DISTINCT key) AS rows,
           (array_agg(DISTINCT key))[1:{MAX_KEYS}] AS keys
    FROM ({_FAULTS.format(rows=SHOWN_ROWS)} UNION ALL {_FINDINGS.format(rows=SHOWN_ROWS)}) AS found
    GROUP BY code, layer, design
    ORDER BY array_position(CAST(:faults AS text[]), code), count(DISTINCT key) DESC, code, layer, design
    LIMIT {MAX_GROUPS}
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants


class FindingGroup(BaseModel):
    """The rows of a design in which the same was found.

    Attributes:
        code: a FindingCode, or one of FAULTS.
        layer: the layer; "" for the image as a whole.
        design: the number of the design; None for rows that no design counts for.
        message: what was found in one of them.
        rows: how many rows there are.
        keys: the keys of the first ones.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    layer: str
    design: int | None
    message: str
    rows: Annotated[int, Field(ge=1)]
    keys: list[str]


@dataclass(frozen=True)
class _Pair:
    """A changed row, with the images that it showed and shows."""

    position: int
    key: str
    images: tuple[Image, Image]
    specs: tuple[ConnectionSpec, ConnectionSpec]


def enqueue_check(db: Session, publication: Publication) -> None:
    """Enqueue jobs that check the images and the channels of a publication, in the caller's transaction."""
    publication.checks = publication.channel_checks = None
    defer_once(
        db,
        "campaigns.check_publication",
        queue=PREPARE_QUEUE,
        queueing_lock=f"check of publication {publication.id}",
        workspace_id=str(publication.workspace_id),
        publication_id=str(publication.id),
    )
    enqueue_channel_check(db, publication.workspace_id, publication.id)


def enqueue_channel_check(
    db: Session, workspace_id: UUID, publication_id: UUID, *, attempt: int = 1, wait: int = 0
) -> None:
    """Enqueue a job that checks the channels of a publication, unless one is queued, in the caller's transaction.

    Args:
        db: the caller's transaction.
        workspace_id: the workspace.
        publication_id: the publication.
        attempt: the number of the attempt, from 1.
        wait: seconds until the job may start.
    """
    defer_once(
        db,
        CHANNELS_TASK,
        queue=PREPARE_QUEUE,
        queueing_lock=f"channels of publication {publication_id}",
        wait=wait,
        workspace_id=str(workspace_id),
        publication_id=str(publication_id),
        attempt=attempt,
    )


def group_findings(db: Session, publication: Publication) -> None:
    """Group what was found in the images of a publication, the worst first, in the caller's transaction."""
    values = {
        "workspace": publication.workspace_id,
        "campaign": publication.campaign_id,
        "state": publication.timeline,
        "active": publication.designs,
        "faults": list(FAULTS),
    }
    groups = db.execute(_GROUPS, values)
    publication.checks = [FindingGroup.model_validate(dict(row)).model_dump() for row in groups.mappings()]
    db.flush()


def measure_differences(
    transaction: Transaction, providers: ProviderRegistry, workspace_id: UUID, publication_id: UUID
) -> int:
    """Measure by how many pixels the first changed rows differ. Return how many were measured.

    Args:
        transaction: begins a transaction in a workspace.
        providers: open the storages of the images.
        workspace_id: the workspace.
        publication_id: the publication. Rows that were measured before are left out.
    """
    with transaction(workspace_id) as db:
        pairs = _list_pairs(db, workspace_id, publication_id)
    measured = 0
    for start in range(0, len(pairs), BATCH):
        shares = [(pair, _measure(providers, pair)) for pair in pairs[start : start + BATCH]]
        with transaction(workspace_id) as db:
            measured += sum(_store(db, workspace_id, publication_id, pair, share) for pair, share in shares)
    return measured


def _list_pairs(db: Session, workspace_id: UUID, publication_id: UUID) -> list[_Pair]:
    changed = select(PublicationChange).where(
        PublicationChange.workspace_id == workspace_id,
        PublicationChange.publication_id == publication_id,
        PublicationChange.kind == ChangeKind.CHANGED,
    )
    changes = db.scalars(changed.order_by(PublicationChange.position).limit(MAX_MEASURED)).all()
    ids = {
        change.position: (old, new)
        for change in changes
        if change.difference is None and (old := _first(change.base_images)) and (new := _first(change.images))
    }
    if not ids:
        return []
    own = select(Image).where(
        Image.workspace_id == workspace_id, Image.id.in_({each for both in ids.values() for each in both})
    )
    images = {image.id: image for image in db.scalars(own)}
    connections = db.scalars(select(Connection).where(Connection.workspace_id == workspace_id))
    specs = {connection.id: connection.spec for connection in connections}
    keys = {change.position: change.key for change in changes}
    return [
        _Pair(
            position,
            keys[position],
            (images[old], images[new]),
            (specs[images[old].connection_id], specs[images[new].connection_id]),
        )
        for position, (old, new) in ids.items()
        if old in images and new in images
    ]


def _first(images: Sequence[Any] | None) -> UUID | None:
    return UUID(images[0]) if images and images[0] else None


def _measure(providers: ProviderRegistry, pair: _Pair) -> int | None:
    """Return the share of pixels that differ, in thousandths, at least one if any does; None if it is unknown."""
    if pair.images[0].id == pair.images[1].id:
        return 0
    try:
        old, new = (
            read_image(providers.open(spec), image) for spec, image in zip(pair.specs, pair.images, strict=True)
        )
        return ceil(compare_files(old, new, threshold=THRESHOLD, side=SIDE).share * 1000)
    except (ImagingError, StorageError):
        return None


def _store(db: Session, workspace_id: UUID, publication_id: UUID, pair: _Pair, share: int | None) -> bool:
    """Store the difference of a row, unless it shows other images since. Return whether it was stored."""
    if share is None:
        return False
    statement = update(PublicationChange).where(
        PublicationChange.workspace_id == workspace_id,
        PublicationChange.publication_id == publication_id,
        PublicationChange.position == pair.position,
        PublicationChange.key == pair.key,
        PublicationChange.base_images[0].astext == str(pair.images[0].id),
        PublicationChange.images[0].astext == str(pair.images[1].id),
    )
    return bool(db.execute(statement.values(difference=share).returning(PublicationChange.position)).first())


def read_groups(publication: Publication) -> list[FindingGroup] | None:
    """Return what was found in the images of a publication; None if they were not checked yet."""
    checks: Iterable[Any] | None = publication.checks
    return None if checks is None else [FindingGroup.model_validate(each) for each in checks]
