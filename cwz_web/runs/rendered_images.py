"""How many images there are of templates that are about to change. Reads runs, not their items."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# Per template; image requests are runs too.
MAX_RUNS = 500
_COUNT = text("""
    SELECT coalesce(sum(images), 0) AS images FROM (
        SELECT max(latest.done + latest.incomplete) AS images
        FROM unnest(CAST(:templates AS uuid[])) AS template(id)
        CROSS JOIN LATERAL (
            SELECT * FROM runs WHERE workspace_id = :workspace_id AND template_id = template.id
            ORDER BY id DESC LIMIT :limit
        ) latest
        WHERE latest.feed_id IS NOT NULL AND latest.finished_at IS NOT NULL
        GROUP BY latest.template_id, latest.feed_id
    ) counted
""")
_COUNT_AUTO = text("""
    SELECT count(*) FROM auto_runs
    WHERE workspace_id = :workspace_id AND template_id = ANY(CAST(:templates AS uuid[]))
""")


@dataclass(frozen=True)
class RenderedImages:
    """The images of the largest recent run of each feed and template, and the number of automatic runs."""

    images: int
    automatic_runs: int


def count_rendered(db: Session, workspace_id: UUID, templates: Collection[UUID]) -> RenderedImages:
    """Count the images that the runs of templates have rendered, each row of a feed once for each output."""
    parameters = {"workspace_id": workspace_id, "templates": list(templates)}
    images = db.execute(_COUNT, parameters | {"limit": MAX_RUNS}).scalar_one()
    return RenderedImages(int(images), db.execute(_COUNT_AUTO, parameters).scalar_one())
