"""The fonts that a form offers, in groups."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.generation.uploads import list_fonts
from cwz_web.i18n import gettext
from cwz_web.imaging.brand import Brand
from cwz_web.imaging.brand_references import reference_to
from cwz_web.imaging.fonts import FAMILIES


@dataclass(frozen=True)
class FontGroup:
    """Fonts with a common title, as pairs of reference and name."""

    title: str
    fonts: list[tuple[str, str]]
    is_brand: bool = False


def list_font_groups(db: Session, workspace_id: UUID, brand: Brand) -> list[FontGroup]:
    """Return the fonts of a brand, the uploaded ones of a workspace and the built-in ones, without empty groups."""
    groups = [
        FontGroup(gettext("Brand"), [(reference_to(name), name) for name in brand.fonts], is_brand=True),
        FontGroup(gettext("Uploaded fonts"), [(font.reference, font.name) for font in list_fonts(db, workspace_id)]),
        FontGroup(gettext("Built-in fonts"), [(name, name) for name in sorted(FAMILIES)]),
    ]
    return [group for group in groups if group.fonts]
