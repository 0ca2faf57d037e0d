"""Sizes that a request adds to a template for its images: another canvas, or a size without its background."""

from collections.abc import Sequence
from dataclasses import dataclass

from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.imaging.template_parts import TemplateSize

_SUFFIX = "-transparent"
# With alpha 0, so that the image is transparent: a size without a background has that of the canvas.
_TRANSPARENT = "#ffffff00"


@dataclass(frozen=True)
class OutputSize:
    """What a request wants an image to be like.

    Attributes:
        size: a size of the template.
        width: of the canvas in its place; None for that of the template.
        height: likewise.
        is_transparent: whether the image has no background.
    """

    size: str = DEFAULT_SIZE
    width: int | None = None
    height: int | None = None
    is_transparent: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is a size of the template as it is."""
        return self.width is None and self.height is None and not self.is_transparent


def add_sizes(template: ImageTemplate, wanted: Sequence[OutputSize]) -> tuple[ImageTemplate, list[str]]:
    """Return a template with sizes for what a request wants, and the name of the size for each.

    Layers follow another canvas as their pins say. The result has only those sizes of the template that are wanted.

    Raises:
        UnknownSizeError: the template does not have a size.
    """
    for each in wanted:
        if each.size not in template.size_names:
            raise UnknownSizeError(each.size, template.size_names)
    if all(each.is_plain for each in wanted):
        return template, [each.size for each in wanted]
    used = {each.size for each in wanted if each.is_plain}
    sizes = {size.name: size for size in template.sizes if size.name in used}
    names = []
    for each in wanted:
        size = _find(template, each)
        if not each.is_plain:
            size = size.model_copy(update={"name": _unused_name(size, sizes)})
            sizes[size.name] = size
        names.append(size.name)
    return template.model_copy(update={"sizes": tuple(sizes.values())}), names


def shown_name(size: str) -> str:
    """Return the name of a size as clients see it."""
    return size.partition(_SUFFIX)[0]


def _find(template: ImageTemplate, wanted: OutputSize) -> TemplateSize:
    own = template.find_size(wanted.size)
    width, height = (own.width, own.height) if own else (template.canvas.width, template.canvas.height)
    found = own or TemplateSize.model_construct(name=wanted.size, width=width, height=height, overrides={})
    changes: dict[str, object] = {}
    if wanted.width or wanted.height:
        width, height = wanted.width or width, wanted.height or height
        changes |= {"name": f"{width}x{height}", "width": width, "height": height}
    if wanted.is_transparent:
        changes |= {"name": f"{changes.get('name', found.name)}"[: 40 - len(_SUFFIX) - 3] + _SUFFIX}
        changes |= {"background": _TRANSPARENT}
    return found.model_copy(update=changes)


def _unused_name(size: TemplateSize, sizes: dict[str, TemplateSize]) -> str:
    """Return the name of a size; with a number if another size has it."""
    name, number = size.name, 2
    while name in sizes and sizes[name].model_copy(update={"name": size.name}) != size:
        name, number = f"{size.name}-{number}", number + 1
    return name
