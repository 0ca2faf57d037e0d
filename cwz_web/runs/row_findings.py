"""What the newest run over a feed has found in its rows."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cwz_web.runs.models import Run, RunItem

_is_unsuccessful = RunItem.state.in_(("failed", "incomplete"))
_has_findings = RunItem.findings.is_not(None)


@dataclass(frozen=True)
class RowFinding:
    """What is wrong with an image of a row; `layer` is empty for the image as a whole."""

    layer: str
    message: str


def find_newest_run(db: Session, workspace_id: UUID, feed_id: UUID) -> UUID | None:
    """Return the newest run over a feed, or None."""
    query = select(Run.id).where(Run.workspace_id == workspace_id, Run.feed_id == feed_id)
    return db.scalar(query.order_by(Run.id.desc()).limit(1))


def findings_by_key(
    db: Session, workspace_id: UUID, run_id: UUID, keys: Collection[str]
) -> dict[str, list[RowFinding]]:
    """Return the distinct findings and errors of some rows in a run, by the key of the row."""
    query = select(RunItem.key, RunItem.findings, RunItem.error, RunItem.state).where(
        RunItem.workspace_id == workspace_id,
        RunItem.run_id == run_id,
        RunItem.key.in_(keys),
        or_(_has_findings, _is_unsuccessful),
    )
    found: dict[str, dict[RowFinding, None]] = defaultdict(dict)
    for key, findings, error, state in db.execute(query):
        for finding in findings or ():
            found[key][RowFinding(finding.get("layer", ""), finding["message"])] = None
        if state == "failed" and error:
            found[key][RowFinding("", error)] = None
    return {key: list(findings) for key, findings in found.items()}


def list_keys_with_findings(
    db: Session, workspace_id: UUID, run_id: UUID, after: int = 0, limit: int = 50
) -> list[tuple[int, str]]:
    """Return the positions and keys of a run's items with findings or errors, in their order.

    Each of both conditions has its own index.
    """
    rows: dict[int, str] = {}
    for condition in (_has_findings, _is_unsuccessful):
        query = select(RunItem.position, RunItem.key).where(
            RunItem.workspace_id == workspace_id, RunItem.run_id == run_id, RunItem.position > after, condition
        )
        rows |= {row.position: row.key for row in db.execute(query.order_by(RunItem.position).limit(limit))}
    return sorted(rows.items())[:limit]
