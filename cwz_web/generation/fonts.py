"""Uploaded fonts of a workspace: checked, stored in its bucket, named by their content."""

from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cwz_web.generation.models import Font
from cwz_web.imaging.fonts import check_font

MAX_FONTS = 100


class TooManyFontsError(Exception):
    """The workspace has the maximum number of fonts."""


def list_fonts(db: Session, workspace_id: UUID) -> list[Font]:
    """Return the workspace's fonts, by name."""
    own = select(Font).where(Font.workspace_id == workspace_id)
    return list(db.scalars(own.order_by(func.lower(Font.family), Font.style, Font.id)))


def add_font(db: Session, workspace_id: UUID, data: bytes) -> Font:
    """Add a font whose file is already stored as an upload, or return the one of the same content.

    Raises:
        InvalidFontError: The file is no font that can be used.
        TooManyFontsError: The workspace has MAX_FONTS fonts.
    """
    family, style = check_font(data)
    digest = sha256(data).hexdigest()
    own = select(Font).where(Font.workspace_id == workspace_id)
    existing = db.scalar(own.where(Font.digest == digest))
    if existing is not None:
        return existing
    if (db.scalar(select(func.count()).select_from(own.subquery())) or 0) >= MAX_FONTS:
        raise TooManyFontsError(f"A workspace can have at most {MAX_FONTS} fonts. Remove one that no template uses")
    font = Font(workspace_id=workspace_id, digest=digest, family=family[:100], style=style[:100], size=len(data))
    db.add(font)
    db.flush()
    return font
