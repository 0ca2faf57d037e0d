"""Where uploads are used: in drafts and versions of templates, and in rows of feeds.

The database keeps the digests that a document refers to (`upload_digests`), so this needs no document.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Text, cast, exists, select, text
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Item
from cwz_web.generation.drafts import has_draft
from cwz_web.generation.models import Template, TemplateStep, TemplateVersion, Upload

_COUNT = text("""
    SELECT digest, count(DISTINCT template_id) AS templates FROM (
        SELECT t.id AS template_id, unnest(v.uploads) AS digest
        FROM templates t JOIN template_versions v
            ON v.workspace_id = t.workspace_id AND v.template_id = t.id AND v.number = t.version
        WHERE t.workspace_id = :workspace_id AND t.deleted_at IS NULL
        UNION ALL
        SELECT t.id, unnest(s.uploads)
        FROM templates t JOIN template_steps s
            ON s.workspace_id = t.workspace_id AND s.template_id = t.id AND s.number = t.step
        WHERE t.workspace_id = :workspace_id AND t.deleted_at IS NULL AND t.step <> t.published_step
    ) used WHERE digest = ANY(:digests) GROUP BY digest
""")


@dataclass
class UploadUse:
    """A template that uses an upload.

    Attributes:
        in_draft: whether the draft as it is now does.
        in_history: whether a step of the draft does that can be undone or redone.
        versions: the numbers of the versions that do, in ascending order.
    """

    template: Template
    in_draft: bool = False
    in_history: bool = False
    versions: list[int] = field(default_factory=list)

    @property
    def has_draft(self) -> bool:
        """Whether the template has unpublished changes."""
        return has_draft(self.template)

    @property
    def in_published(self) -> bool:
        """Whether the published version does."""
        return self.template.version in self.versions

    @property
    def earlier_versions(self) -> list[int]:
        """The numbers of the earlier versions that do."""
        return [number for number in self.versions if number != self.template.version]

    @property
    def earlier_ranges(self) -> str:
        """The numbers of the earlier versions that do, as people write them: `1–4, 6`."""
        ranges: list[list[int]] = []
        for number in self.earlier_versions:
            if ranges and number == ranges[-1][-1] + 1:
                ranges[-1] = [ranges[-1][0], number]
            else:
                ranges.append([number])
        return ", ".join("–".join(map(str, each)) for each in ranges)

    @property
    def is_current(self) -> bool:
        """Whether the draft or the published version of a template does that is not deleted."""
        return (self.in_draft or self.in_published) and self.template.deleted_at is None


def find_uses(db: Session, upload: Upload) -> list[UploadUse]:
    """Return the templates that use an upload, by name: deleted ones and those of which only the history does, too."""
    workspace_id, wanted = upload.workspace_id, [upload.digest]
    versions = db.execute(
        select(TemplateVersion.template_id, TemplateVersion.number)
        .where(TemplateVersion.workspace_id == workspace_id, TemplateVersion.uploads.contains(wanted))
        .order_by(TemplateVersion.number)
    ).all()
    steps = db.execute(
        select(TemplateStep.template_id, TemplateStep.number).where(
            TemplateStep.workspace_id == workspace_id, TemplateStep.uploads.contains(wanted)
        )
    ).all()
    ids = {row.template_id for row in (*versions, *steps)}
    templates = select(Template).where(Template.workspace_id == workspace_id, Template.id.in_(ids))
    uses = {template.id: UploadUse(template) for template in db.scalars(templates)} if ids else {}
    for row in versions:
        uses[row.template_id].versions.append(row.number)
    for row in steps:
        use = uses[row.template_id]
        use.in_history = True
        use.in_draft |= has_draft(use.template) and row.number == use.template.step
    return sorted(uses.values(), key=lambda use: (use.template.name.casefold(), use.template.id))


def count_templates(db: Session, workspace_id: UUID, uploads: Sequence[Upload]) -> dict[str, int]:
    """Return how many templates use uploads in their draft or published version, by digest."""
    digests = [upload.digest for upload in uploads]
    rows = db.execute(_COUNT, {"workspace_id": workspace_id, "digests": digests}) if digests else ()
    return {row.digest: row.templates for row in rows}


def is_in_rows(db: Session, upload: Upload) -> bool:
    """Return whether a row of a feed refers to an upload. Reads all rows: for jobs."""
    has_reference = cast(Item.data, Text).contains(upload.reference)
    return bool(db.scalar(select(exists().where(Item.workspace_id == upload.workspace_id, has_reference))))
