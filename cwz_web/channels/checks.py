"""Whether the images of a campaign are what a platform wants of them: sizes, formats, and what they show.

What a design shows beside the photo is read from its template; people can correct it. A finding says what to do, and
has the mappings that do it where there are some.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import CARRIED_LABELS, Carried, ImageField, ImageRules, Preset
from cwz_web.feeds.columns import is_price_name
from cwz_web.i18n import LazyMessage, gettext, gettext_lazy, gettext_noop, number_lazy
from cwz_web.imaging.bindings import Binding
from cwz_web.imaging.brand_references import PREFIX as BRAND
from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import FORMAT_LABELS, Format, Output
from cwz_web.imaging.filters import currency
from cwz_web.imaging.layers import (
    AnyLayer,
    CodeLayer,
    Container,
    ImageLayer,
    RatingLayer,
    ShapeLayer,
    walk_layers,
)
from cwz_web.imaging.styles import Gradient
from cwz_web.imaging.template_parts import Canvas
from cwz_web.imaging.text_layers import TextLayer

# A layer of this share of the canvas covers it.
COVERING = 0.9
# What is less opaque is a watermark.
OPAQUE = 0.5
# Of 255, each color channel of a background that counts as white.
NEARLY_WHITE = 250
LIFESTYLE = "lifestyle_image_link"


class PolicyCode(StrEnum):
    """What a platform wants otherwise."""

    TOO_SMALL = "too_small"
    SMALL = "small"  # it is taken, and looks worse
    TOO_LARGE = "too_large"
    TOO_MANY_BYTES = "too_many_bytes"
    RATIO = "ratio"
    FORMAT = "format"
    OVERLAY = "overlay"
    BACKGROUND = "background"
    SAFE_AREA = "safe_area"

    @property
    def label(self) -> str:
        return gettext(POLICY_LABELS[self])

    @property
    def is_refused(self) -> bool:
        """Whether the platform refuses the image, and does not only show it worse."""
        return self not in (PolicyCode.SMALL, PolicyCode.SAFE_AREA, PolicyCode.RATIO, PolicyCode.BACKGROUND)


POLICY_LABELS = {
    PolicyCode.TOO_SMALL: gettext_noop("Too few pixels"),
    PolicyCode.SMALL: gettext_noop("Below recommended size"),
    PolicyCode.TOO_LARGE: gettext_noop("Too many pixels"),
    PolicyCode.TOO_MANY_BYTES: gettext_noop("File too large"),
    PolicyCode.RATIO: gettext_noop("Wrong aspect ratio"),
    PolicyCode.FORMAT: gettext_noop("File format not supported"),
    PolicyCode.OVERLAY: gettext_noop("Overlay not allowed"),
    PolicyCode.BACKGROUND: gettext_noop("Background not white"),
    PolicyCode.SAFE_AREA: gettext_noop("Text or logo outside the safe area"),
}


@dataclass(frozen=True)
class ContentBox:
    """Where a text, a code or a logo is in an image; its edges are shares of the height, from 0 to 1."""

    layer: str
    top: float
    bottom: float


@dataclass(frozen=True)
class DesignImage:
    """An image of a design.

    Attributes:
        design: the number of the design; None for the original photo.
        name: the design's name for people.
        output: the number of the output.
        width, height: its pixels.
        format: its file format.
        carried: what it shows beside the photo.
        contents: where its texts, codes and logos are.
        has_colored_background: whether its background is known to be neither white nor transparent. That of a photo is
            not known.
        size: how many bytes its file has at least; 0 for a design, whose files differ.
    """

    design: int | None
    name: str
    output: int
    width: int
    height: int
    format: Format
    carried: frozenset[Carried] = frozenset()
    contents: tuple[ContentBox, ...] = ()
    has_colored_background: bool = False
    size: int = 0


@dataclass(frozen=True)
class ImageFinding:
    """What a platform wants otherwise of an image.

    Attributes:
        field: the field that it is in.
        code: what it is.
        message: what it is and what to do, as a sentence that is translated where it is shown.
        remedy: the mappings that solve it, in the place of those of the same fields; none if there are no such ones.
    """

    field: str
    code: PolicyCode
    message: str
    remedy: tuple[FieldMapping, ...] = ()


def describe_images(
    document: ImageTemplate,
    outputs: Sequence[Output],
    *,
    design: int,
    name: str,
    corrected: frozenset[Carried] | None = None,
) -> list[DesignImage]:
    """Return the images of a design.

    Args:
        document: its template.
        outputs: the campaign's outputs.
        design: the number of the design.
        name: its name for people.
        corrected: what people say that it shows; None for what its template shows.
    """
    images: list[DesignImage] = []
    for number, output in enumerate(outputs):
        if output.size not in document.size_names:
            continue
        sized = document.in_size(output.size).visible()
        images.append(
            DesignImage(
                design=design,
                name=name,
                output=number,
                width=sized.canvas.width * output.scale,
                height=sized.canvas.height * output.scale,
                format=output.format,
                carried=find_carried(sized) if corrected is None else corrected,
                contents=tuple(_content_boxes(sized.layers, sized.canvas, 0)),
                has_colored_background=_has_colored_background(sized),
            )
        )
    return images


def find_carried(document: ImageTemplate) -> frozenset[Carried]:
    """Return what a template shows beside the photo, by its visible layers."""
    types = {field.name: field.type for field in document.fields}
    found: set[Carried] = set()
    for number, layer in enumerate(walk_layers(document.layers)):
        is_covering = _covers(layer, document.canvas)
        found |= _carried_by(layer, types, is_covering=is_covering, is_ground=number == 0)
    return frozenset(found)


def _carried_by(layer: AnyLayer, types: Mapping[str, str], *, is_covering: bool, is_ground: bool) -> set[Carried]:
    if layer.hidden or not layer.opacity:
        return set()
    match layer:
        case TextLayer():
            if layer.opacity < OPAQUE:
                return {Carried.WATERMARK}
            return {Carried.PRICE} if _shows_price(layer, types) else {Carried.TEXT}
        case CodeLayer() | RatingLayer():
            return {Carried.TEXT}
        case ImageLayer():
            own = _is_own(layer)
            frame = {Carried.FRAME} if layer.border else set()
            if not own or is_ground:
                return frame
            if is_covering:
                return {Carried.FRAME}
            return {Carried.LOGO if layer.opacity >= OPAQUE else Carried.WATERMARK} | frame
        case ShapeLayer() if is_covering and not is_ground and layer.border:
            return {Carried.FRAME}
    return set()


def _shows_price(layer: TextLayer, types: Mapping[str, str]) -> bool:
    for text in layer.bound_texts():
        for part in text.parts:
            if isinstance(part, Binding) and (
                types.get(part.field) == "money"
                or is_price_name(part.field)
                or any(each.function is currency for each in part.filters)
            ):
                return True
    return False


def _is_own(layer: ImageLayer) -> bool:
    """Return whether a layer shows an upload or a logo of the brand, and no photo of the row."""
    source = layer.source
    return not layer.content_fields() and (source.startswith(("upload:", BRAND)))


def _content_boxes(layers: Iterable[AnyLayer], canvas: Canvas, offset: int) -> Iterator[ContentBox]:
    """Yield where texts, codes and logos are. The content of a stack is somewhere in its box."""
    for layer in layers:
        top = offset + layer.top
        if isinstance(layer, Container) and layer.type == "group":
            yield from _content_boxes(layer.layers, canvas, top)
            continue
        inner = walk_layers(layer.layers) if isinstance(layer, Container) else [layer]
        if any(_is_content(each, canvas) for each in inner):
            yield ContentBox(layer.name, top / canvas.height, (top + layer.height) / canvas.height)


def _is_content(layer: AnyLayer, canvas: Canvas) -> bool:
    """Return whether people have to see a layer: a text, a code or a logo, and no image that covers the canvas."""
    if isinstance(layer, ImageLayer):
        return _is_own(layer) and not _covers(layer, canvas)
    return isinstance(layer, TextLayer | CodeLayer | RatingLayer)


def _covers(layer: AnyLayer, canvas: Canvas) -> bool:
    return layer.width * layer.height >= COVERING * canvas.width * canvas.height


def _has_colored_background(document: ImageTemplate) -> bool:
    """Return whether what is below all content is known to be neither white nor transparent."""
    is_colored = _is_colored(document.canvas.background)
    for layer in document.layers:
        if not _covers(layer, document.canvas):
            continue
        match layer:
            case ShapeLayer(fill=str() | Gradient()):
                is_colored = "fill" not in layer.bound and _is_colored(layer.fill)
            case ImageLayer(fit="contain" | "trim"):  # beside the product, the background stays
                is_colored = _is_colored(layer.background) if layer.background else is_colored
            case ImageLayer():
                is_colored = False
    return is_colored


def _is_colored(fill: str | Gradient | None) -> bool:
    if isinstance(fill, Gradient):
        return any(_is_colored(color) for _, color in fill.colors())
    if fill is None or not fill.startswith("#"):  # a color of the brand
        return False
    color, opacity = parse_color(fill)
    return opacity > 0 and min(color) < NEARLY_WHITE


def check_images(preset: Preset, mappings: Sequence[FieldMapping], images: Sequence[DesignImage]) -> list[ImageFinding]:
    """Return what a platform wants otherwise of the images of a channel, by field and design.

    Args:
        preset: the platform.
        mappings: the fields of the channel.
        images: the images of the campaign's designs.
    """
    findings: list[ImageFinding] = []
    for mapping in mappings:
        field = preset.field(mapping.name)
        if mapping.source != FieldSource.IMAGE or not isinstance(field, ImageField):
            continue
        for image in images:
            if str(image.output) == mapping.value:
                findings += _check(preset, field, image)
    return findings


def limit_outputs(preset: Preset, mappings: Sequence[FieldMapping], outputs: Sequence[Output]) -> list[Output]:
    """Return outputs whose files have at most the bytes that a platform takes in the fields that show them.

    Args:
        preset: the platform.
        mappings: the fields of the channel.
        outputs: the campaign's outputs.
    """
    limited = list(outputs)
    for mapping in mappings:
        field = preset.field(mapping.name)
        if mapping.source != FieldSource.IMAGE or not isinstance(field, ImageField) or not field.rules.max_bytes:
            continue
        number, limit = int(mapping.value), field.rules.max_bytes
        if number < len(limited):
            limit = min(limit, limited[number].max_bytes or limit)
            limited[number] = limited[number].model_copy(update={"max_bytes": limit})
    return limited


def with_remedy(mappings: Sequence[FieldMapping], finding: ImageFinding) -> list[FieldMapping]:
    """Return the fields of a channel with those that solve a finding, in the place of those of the same names."""
    names = {each.name for each in finding.remedy}
    place = next((number for number, each in enumerate(mappings) if each.name in names), len(mappings))
    before = [each for each in mappings[:place] if each.name not in names]
    return [*before, *finding.remedy, *(each for each in mappings[place:] if each.name not in names)]


def _check(preset: Preset, field: ImageField, image: DesignImage) -> Iterator[ImageFinding]:
    rules = field.rules
    names = {"platform": preset.label, "field": field.name, "design": image.name}

    def finding(code: PolicyCode, message: str, remedy: tuple[FieldMapping, ...] = ()) -> ImageFinding:
        return ImageFinding(field.name, code, message, remedy)

    yield from _check_size(rules, image, names, finding)
    if image.format not in rules.formats:
        known = ", ".join(FORMAT_LABELS[each] for each in Format if each in rules.formats)
        message = gettext_lazy(
            "%(platform)s does not take %(format)s in “%(field)s”. Choose one of these formats: %(known)s",
            format=FORMAT_LABELS[image.format],
            known=known,
            platform=preset.label,
            field=field.name,
        )
        yield finding(PolicyCode.FORMAT, message)
    if refused := sorted(image.carried & rules.refused):
        yield finding(*_overlay(preset, field, image, refused))
    if rules.wants_white and image.has_colored_background:
        message = gettext_lazy(
            "%(platform)s wants a white or transparent background in “%(field)s”; the design “%(design)s” has another"
            " one. Choose white, or use the original photo in this field",
            **names,
        )
        photo = FieldMapping(name=field.name, source=FieldSource.PHOTO)
        yield finding(PolicyCode.BACKGROUND, message, (photo,) if field.takes_photo else ())
    for box in image.contents:
        if box.top < rules.safe_top or box.bottom > 1 - rules.safe_bottom:
            message = gettext_lazy(
                "%(platform)s covers the top %(top)s %% and the bottom %(bottom)s %% of the image in “%(field)s”, where"
                " the design “%(design)s” has the layer “%(layer)s”. Move it to the middle of this size",
                top=round(rules.safe_top * 100),
                bottom=round(rules.safe_bottom * 100),
                layer=box.layer,
                **names,
            )
            yield finding(PolicyCode.SAFE_AREA, message)


def _check_size(
    rules: ImageRules, image: DesignImage, names: Mapping[str, str], finding: Any
) -> Iterator[ImageFinding]:
    sides = {"width": image.width, "height": image.height}
    if image.width < rules.min_width or image.height < rules.min_height:
        yield finding(
            PolicyCode.TOO_SMALL,
            gettext_lazy(
                "The design “%(design)s” has %(width)s × %(height)s pixels; %(platform)s takes at least"
                " %(min_width)s × %(min_height)s in “%(field)s”. Choose a larger size, or a scale of 2",
                min_width=rules.min_width,
                min_height=rules.min_height,
                **sides,
                **names,
            ),
        )
    elif image.width < rules.best_width or image.height < rules.best_height:
        yield finding(
            PolicyCode.SMALL,
            gettext_lazy(
                "The design “%(design)s” has %(width)s × %(height)s pixels; %(platform)s shows images of"
                " %(best_width)s × %(best_height)s best in “%(field)s”. Choose a larger size, or a scale of 2",
                best_width=rules.best_width,
                best_height=rules.best_height,
                **sides,
                **names,
            ),
        )
    if rules.max_pixels and image.width * image.height > rules.max_pixels:
        yield finding(
            PolicyCode.TOO_LARGE,
            gettext_lazy(
                "The design “%(design)s” has %(width)s × %(height)s pixels, which is more than %(platform)s takes in"
                " “%(field)s”. Choose a smaller size or scale",
                **sides,
                **names,
            ),
        )
    if rules.max_bytes and image.size > rules.max_bytes:
        yield finding(
            PolicyCode.TOO_MANY_BYTES,
            gettext_lazy(
                "Files of the design “%(design)s” have more than %(megabytes)s MB; %(platform)s takes no larger ones in"
                " “%(field)s”. Choose JPEG or a smaller size, or limit the size of the files",
                megabytes=number_lazy(rules.max_bytes // 1_000_000),
                **names,
            ),
        )
    ratio = image.width / image.height
    if (rules.min_ratio and ratio < rules.min_ratio) or (rules.max_ratio and ratio > rules.max_ratio):
        yield finding(
            PolicyCode.RATIO,
            gettext_lazy(
                "The design “%(design)s” has %(width)s × %(height)s pixels, which is another ratio than %(platform)s"
                " wants in “%(field)s”. Choose an image of another size for this field",
                **sides,
                **names,
            ),
        )


def _overlay(
    preset: Preset, field: ImageField, image: DesignImage, refused: Sequence[Carried]
) -> tuple[PolicyCode, str, tuple[FieldMapping, ...]]:
    """Return what is wrong with a design that shows what a field must not show, and what to do."""
    values = {"platform": preset.label, "field": field.name, "design": image.name}
    what = LazyMessage(", ".join(CARRIED_LABELS[each] for each in refused), lambda: ", ".join(x.label for x in refused))
    lifestyle = preset.field(LIFESTYLE)
    photo = FieldMapping(name=field.name, source=FieldSource.PHOTO)
    if not field.takes_photo:
        message = gettext_lazy(
            "%(platform)s does not allow this in “%(field)s”: %(what)s. The design “%(design)s” shows it. Leave the"
            " field out, or choose a design without it",
            what=what,
            **values,
        )
        return PolicyCode.OVERLAY, message, ()
    if isinstance(lifestyle, ImageField) and field.name != LIFESTYLE and not image.carried & lifestyle.rules.refused:
        message = gettext_lazy(
            "%(platform)s does not allow this in “%(field)s”: %(what)s. The design “%(design)s” shows it. Use the"
            " original photo in this field, and the design in “%(other)s”",
            what=what,
            other=LIFESTYLE,
            **values,
        )
        design = FieldMapping(name=LIFESTYLE, source=FieldSource.IMAGE, value=str(image.output))
        return PolicyCode.OVERLAY, message, (photo, design)
    message = gettext_lazy(
        "%(platform)s does not allow this in “%(field)s”: %(what)s. The design “%(design)s” shows it. Use the original"
        " photo in this field, and the design in other channels",
        what=what,
        **values,
    )
    return PolicyCode.OVERLAY, message, (photo,)
