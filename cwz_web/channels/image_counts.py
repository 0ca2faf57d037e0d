"""In how many rows of a publication a platform wants otherwise of the images that the rows show.

The designs are compared with the platform's rules as on the channel's page (`checks`), and the images by what is known
of their files: pixels, format and bytes. Rows that show the same are compared once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ARRAY, Integer, SmallInteger, bindparam, text
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES, names_of_designs
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.channels.checks import DesignImage, PolicyCode, check_images
from cwz_web.channels.design_images import load_design_images
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import ImageField, Preset
from cwz_web.imaging.encoders import Format

# Rows beyond these different combinations of pixels, formats and sizes of files are not counted, and findings beyond
# these are not kept.
MAX_GROUPS, MAX_FINDINGS = 10_000, 50

# An image is found by its index, as in `rows`. The steps count the limits that the file exceeds.
_GROUPS = text(f"""
    SELECT CAST(design AS smallint) AS design, images, count(*) AS rows, min(key) AS key
    FROM (
        SELECT key, design, ARRAY(
            SELECT (
                SELECT concat_ws(' ', image.width, image.height, image.content_type,
                                 width_bucket(image.size, :steps))
                FROM images AS image
                WHERE image.workspace_id = :workspace AND image.id = CAST(shown_image.id AS uuid)
            )
            FROM jsonb_array_elements_text(row.shown) WITH ORDINALITY AS shown_image (id, number)
            ORDER BY shown_image.number
        ) AS images
        FROM ({SHOWN_ROWS} OFFSET 0) AS row WHERE row.shown <> '[]'
    ) AS row
    GROUP BY design, images ORDER BY count(*) DESC, design, images LIMIT {MAX_GROUPS}
""").bindparams(  # noqa: S608 - composed of constants
    bindparam("active", type_=ARRAY(SmallInteger)), bindparam("steps", type_=ARRAY(Integer))
)


class ImageIssue(BaseModel):
    """The rows whose images a platform wants otherwise, for the same reason.

    Attributes:
        field: the channel's field.
        code: what it is.
        message: what it is and what to do, in English.
        rows: how many rows there are.
        key: the key of the first of them.
    """

    model_config = ConfigDict(frozen=True)

    field: str
    code: PolicyCode
    message: str
    rows: Annotated[int, Field(ge=1)]
    key: str


@dataclass(frozen=True)
class ImageCounts:
    """What a platform wants otherwise of the images of a publication.

    Attributes:
        refused: how many rows show an image that it refuses.
        issues: what it wants otherwise, what it refuses first, then most rows first.
    """

    refused: int = 0
    issues: tuple[ImageIssue, ...] = ()


@dataclass(frozen=True)
class _Group:
    """Rows of a design whose images are alike."""

    images: list[DesignImage]
    rows: int
    key: str


def count_image_issues(
    db: Session, campaign: Campaign, publication: Publication, preset: Preset, mappings: Sequence[FieldMapping]
) -> ImageCounts:
    """Count the rows of a publication whose images a platform wants otherwise.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: one of its publications.
        preset: the platform.
        mappings: the fields of the channel.
    """
    fields = [preset.field(mapping.name) for mapping in mappings if mapping.source == FieldSource.IMAGE]
    rules = [field.rules for field in fields if isinstance(field, ImageField)]
    if not rules:
        return ImageCounts()
    limits = sorted({each.max_bytes for each in rules if each.max_bytes})
    refused, rows, first = 0, Counter[tuple[str, PolicyCode, str]](), dict[tuple[str, PolicyCode, str], str]()
    for group in _load_groups(db, campaign, publication, limits):
        found = check_images(preset, mappings, group.images)
        for key in {(each.field, each.code, str(each.message)) for each in found}:
            rows[key] += group.rows
            first[key] = min(first.get(key, group.key), group.key)
        if any(each.code.is_refused for each in found):
            refused += group.rows
    issues = [
        ImageIssue(field=field, code=code, message=message, rows=count, key=first[field, code, message])
        for (field, code, message), count in rows.items()
    ]
    issues.sort(key=lambda each: (not each.code.is_refused, -each.rows, each.field, each.message))
    return ImageCounts(refused, tuple(issues[:MAX_FINDINGS]))


def _load_groups(db: Session, campaign: Campaign, publication: Publication, limits: Sequence[int]) -> list[_Group]:
    known = {(each.design, each.output): each for each in load_design_images(db, campaign, publication=publication)}
    names = names_of_designs(RULES.validate_python(publication.rules))
    values = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "state": publication.timeline,
        "active": publication.designs,
        "steps": [limit + 1 for limit in limits],
    }
    return [
        _Group(_images(known, names, row.design, row.images, limits), row.rows, row.key)
        for row in db.execute(_GROUPS, values)
    ]


def _images(
    known: Mapping[tuple[int | None, int], DesignImage],
    names: Mapping[str, tuple[str, str]],
    design: int | None,
    files: Sequence[str | None],
    limits: Sequence[int],
) -> list[DesignImage]:
    """Return the images of rows: what their design shows, with the pixels, format and size of their files."""
    images: list[DesignImage] = []
    for output, file in enumerate(files):
        if not file:  # it was deleted
            continue
        width, height, content_type, step = file.split(" ")
        format = next(each for each in Format if each.content_type == content_type)
        size = limits[int(step) - 1] + 1 if int(step) else 0
        # The template of a design can be deleted since.
        name = names.get(str(design), ("", ""))[0]
        image = known.get((design, output)) or DesignImage(design, name, output, int(width), int(height), format)
        images.append(replace(image, width=int(width), height=int(height), format=format, size=size))
    return images
