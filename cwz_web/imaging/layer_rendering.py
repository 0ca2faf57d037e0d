"""Rendering of single layers: from a layer, its content and the loaded images to patches of pixels."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
from typing import Any

from cwz_web.i18n import cut_message, gettext_lazy
from cwz_web.imaging.adjustments import fade_mask
from cwz_web.imaging.barcodes import is_upca, render_code
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.code_checks import RenderedCode
from cwz_web.imaging.compositing import Patch, Pixels, merge_patches
from cwz_web.imaging.decoding import FittedImage, Source, find_face, find_product, fit_image
from cwz_web.imaging.effects import (
    Window,
    apply_effects,
    cast_shadows,
    find_window,
    has_effects,
    outline_patch,
)
from cwz_web.imaging.errors import InvalidBarcodeError, InvalidImageError, SourceMissingError
from cwz_web.imaging.faces import MISSING, faces_version
from cwz_web.imaging.findings import MAX_MESSAGE_LENGTH, Finding, FindingCode
from cwz_web.imaging.fonts import FAMILIES, use_font
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import CodeLayer, Container, ImageLayer, RatingLayer, ShapeLayer, StackLayer
from cwz_web.imaging.lint import MAX_ENLARGEMENT, text_findings
from cwz_web.imaging.masking import enclose, mask_patches
from cwz_web.imaging.placement import LoadedSources, PlacedLayer
from cwz_web.imaging.planned_layers import PlannedLayer, photo_missing, unclear_value
from cwz_web.imaging.processors import processed_reference
from cwz_web.imaging.shapes import (
    elliptic_mask,
    polygon_mask,
    render_box,
    render_placeholder,
    render_rating,
    render_shape,
    rounded_mask,
)
from cwz_web.imaging.text import place_text
from cwz_web.imaging.text_fitting import FittedText, fit_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import Typeface
from cwz_web.imaging.tiles import Tile
from cwz_web.imaging.trimming import Box
from cwz_web.values.formats import Unclear
from cwz_web.values.numbers import read_rating

# What the pixels of an image depend on beside its file.
FITTED = ("width", "height", "fit", "trim_padding", "focus", "zoom", "grayscale", "adjust", "duotone")


# A longer text is in a key of the cache by its digest.
MAX_KEY_TEXT = 500
# A layer with more pixels, which is larger than any image, is rendered only where it can be seen.
MAX_WHOLE_PIXELS = 25_000_000
# Raises RenderTimeoutError once an image has taken too long.
CheckTime = Callable[[], None]


@dataclass(frozen=True)
class Rendering:
    """A rendered layer: its patches and findings, and the codes in it."""

    patches: tuple[Patch, ...] = ()
    findings: tuple[Finding, ...] = ()
    codes: tuple[RenderedCode, ...] = ()

    @property
    def nbytes(self) -> int:
        """The size of the patches in bytes."""
        return sum(patch.nbytes for patch in self.patches)


class LayerRenderer:
    """Renders the layers of a plan.

    Args:
        pixels: the cache for decoded images and rendered static layers.
        layers: the layers of the plan.
        defaults: the default values of the template's fields.
        legacy_edges: whether rotated layers have the edges of documents of versions 1 and 2.
    """

    def __init__(
        self, pixels: ByteCache[Any], layers: Iterable[Layer], defaults: Mapping[str, str], *, legacy_edges: bool
    ) -> None:
        self._pixels, self._defaults, self._legacy_edges = pixels, defaults, legacy_edges
        # Templates share what they render of equal layers: a preview only renders the layer that was edited.
        self._definitions = {layer.name: (_definition(layer), layer.decided(), legacy_edges) for layer in layers}

    def render(self, placed: PlacedLayer, sources: LoadedSources, window: Window, check_time: CheckTime) -> Rendering:
        """Render a layer of a row, with the layers in it.

        Args:
            placed: the layer.
            sources: the images and fonts of the row.
            window: what can be seen; containers that rotate, fade or blend are not rendered beyond it.
            check_time: raises RenderTimeoutError if it is too late for another layer.

        Raises:
            ImagingError: the layer cannot be rendered.
        """
        check_time()
        own = self.render_own(placed, sources, window, check_time)
        layer = placed.layer
        if not isinstance(layer, Container):
            return own
        inner = find_window(layer, window)
        renderings = [self.render(child, sources, inner, check_time) for child in placed.children]
        patches = [patch for rendering in renderings for patch in rendering.patches]
        if layer.clip:
            patches = [clipped for patch in patches if (clipped := self.clip_content(layer, patch))]
        # The box of a stack has cast the shadow already.
        effects = layer.model_copy(update={"shadow": None}) if own.patches else layer
        renderings.insert(0, own)
        is_turned = bool(layer.rotation % 360)
        masked, findings = self._mask([*own.patches, *patches], placed, sources, check_time)
        renderings.append(Rendering(findings=findings))
        return Rendering(
            self._apply_effects(effects, masked, placed, sources, inner),
            tuple(finding for rendering in renderings for finding in rendering.findings),
            tuple(
                replace(code, is_rotated=code.is_rotated or is_turned)
                for rendering in renderings
                for code in rendering.codes
            ),
        )

    def render_own(
        self, placed: PlacedLayer, sources: LoadedSources, window: Window, check_time: CheckTime
    ) -> Rendering:
        """Render a layer of a row without the layers in it. Raises ImagingError."""
        layer = placed.layer
        if isinstance(layer, Container):
            return replace(self.render_box(layer, window), findings=tuple(_find_overflow(placed)))
        texts, unclear = placed.planned.resolve(placed.values)
        mask = self._tree_inputs(placed.mask, sources) if placed.mask else ()
        visible = find_window(layer, window) if layer.width * layer.height > MAX_WHOLE_PIXELS else None
        key = ("layer", visible, *self._inputs(placed, texts, sources), *mask)
        rendering: Rendering = self._pixels.get_or_create(
            key, lambda: self._render_content(placed, texts, sources, visible, check_time)
        )
        findings = tuple(unclear)
        return replace(rendering, findings=(*rendering.findings, *findings)) if findings else rendering

    def render_tile(
        self, placed: PlacedLayer, sources: LoadedSources, window: Window, check_time: CheckTime, *, is_whole: bool
    ) -> Tile | None:
        """Render a layer as a tile: with the layers in it, or only its own box. Raises ImagingError."""

        def create() -> Tile | None:
            rendering = (
                self.render(placed, sources, window, check_time)
                if is_whole
                else self.render_own(placed, sources, window, check_time)
            )
            return Tile.of(rendering.patches, window)

        # The tile of a container's own box does not depend on the layers in it.
        own = placed if is_whole else replace(placed, children=())
        inputs = self._tree_inputs(own, sources)
        tile: Tile | None = self._pixels.get_or_create(("tile", is_whole, window, *inputs), create)
        return tile

    def fit_text(
        self, layer: TextLayer, texts: Sequence[str], width: int, height: int, sources: LoadedSources
    ) -> FittedText:
        """Fit the content of a text layer into a width and a height in pixels."""
        # A text in a group can have the font sizes of the group's size in this row.
        sizes = (layer.size, layer.min_size, layer.max_size)
        state = _source_state(layer, texts, sources)
        key = ("text", self._identity(layer), sizes, state, *map(_shorten, texts), width, height)
        fitted: FittedText = self._pixels.get_or_create(
            key, lambda: fit_layer_text(layer, texts, width, height, sources)
        )
        return fitted

    def _identity(self, layer: Layer) -> Hashable:
        """Return what distinguishes a layer: its definition, and the properties that a row has decided."""
        definition, decided, legacy_edges = self._definitions[layer.name]
        return definition, legacy_edges, tuple((name, _decided_value(layer, name)) for name in decided)

    def _apply_effects(
        self, layer: Container, patches: Sequence[Patch], placed: PlacedLayer, sources: LoadedSources, window: Window
    ) -> tuple[Patch, ...]:
        """Apply the effects of a container to the patches of its layers, as far as they are in the window."""
        if not has_effects(layer):
            return tuple(patches)
        inside = [cropped for patch in patches if (cropped := patch.cropped(*window))]
        key = ("effects", window, *self._tree_inputs(placed, sources))
        rendering: Rendering = self._pixels.get_or_create(
            key, lambda: Rendering(tuple(apply_effects(layer, inside, legacy_edges=self._legacy_edges)))
        )
        return rendering.patches

    def _inputs(self, placed: PlacedLayer, texts: Sequence[str], sources: LoadedSources) -> tuple[Hashable, ...]:
        """Return what the pixels of a layer depend on."""
        layer, fitted = placed.layer, placed.text
        box = (layer.left, layer.top, layer.width, layer.height)
        fit = (fitted.font_size, fitted.style.width) if fitted else ()
        state = _source_state(layer, texts, sources)
        return (self._identity(layer), box, fit, state, *map(_shorten, texts))

    def _tree_inputs(self, placed: PlacedLayer, sources: LoadedSources) -> tuple[Hashable, ...]:
        """Return what the pixels of a layer and of the layers in it depend on."""
        own = self._inputs(placed, placed.planned.texts(placed.values), sources)
        parts = (*placed.children, *([placed.mask] if placed.mask else []))
        return (*own, *(self._tree_inputs(part, sources) for part in parts))

    def render_box(self, layer: Layer, window: Window) -> Rendering:
        """Render the box of a stack with its shadow; other containers have none."""
        if not isinstance(layer, StackLayer) or not (layer.background or layer.border):
            return Rendering()
        visible = find_window(layer, window) if layer.width * layer.height > MAX_WHOLE_PIXELS else None
        key = ("box", visible, self._identity(layer), layer.left, layer.top, layer.width, layer.height)
        box: Rendering = self._pixels.get_or_create(key, lambda: _render_stack_box(layer, visible))
        return box

    def clip_content(self, layer: Container, patch: Patch) -> Patch | None:
        """Cut a patch off at the edges of a container, with its round corners; None if nothing is left."""
        cropped = patch.cropped(layer.left, layer.top, layer.width, layer.height)
        if cropped is None or not layer.radius:
            return cropped
        height, width = cropped.shape
        top, left = cropped.y - layer.top, cropped.x - layer.left
        reach = ceil(layer.radius)
        is_beside = left >= reach and left + width <= layer.width - reach
        is_between = top >= reach and top + height <= layer.height - reach
        if is_beside or is_between:
            return cropped
        corners = self._round_corners(layer.width, layer.height, layer.radius)
        return cropped.clipped(corners[top : top + height, left : left + width])

    def _round_corners(self, width: int, height: int, radius: float) -> Pixels:
        key = ("corners", width, height, radius)
        mask: Pixels = self._pixels.get_or_create(key, lambda: rounded_mask(width, height, radius))
        return mask

    def source_state(self, planned: PlannedLayer, sources: LoadedSources) -> str:
        """Return what a static layer depends on beside the document: the digests of its images, or why they miss."""
        parts = (*planned.children, *([planned.mask] if planned.mask else []))
        states = [self.source_state(part, sources) for part in parts]
        return " ".join([_source_state(planned.layer, planned.texts(self._defaults), sources), *states])

    def _mask(
        self, patches: Sequence[Patch], placed: PlacedLayer, sources: LoadedSources, check_time: CheckTime
    ) -> tuple[Sequence[Patch], tuple[Finding, ...]]:
        """Return the patches of a layer as far as its mask shows them, and the findings of the mask."""
        if placed.mask is None or placed.layer.layer_mask is None or not patches:
            return patches, ()
        mask = self.render(placed.mask, sources, enclose(patches), check_time)
        return mask_patches(patches, mask.patches, placed.layer.layer_mask), mask.findings

    def _render_content(
        self,
        placed: PlacedLayer,
        texts: tuple[str, ...],
        sources: LoadedSources,
        visible: Window | None,
        check_time: CheckTime,
    ) -> Rendering:
        layer, content = placed.layer, texts[0] if texts else ""
        match layer:
            case ShapeLayer():
                rendering = Rendering((render_shape(layer, visible),))
            case TextLayer():
                fitted = placed.text or fit_layer_text(layer, texts, layer.width, layer.height, sources)
                text = place_text(layer, fitted, layer.left, layer.top, layer.width, layer.height)
                rendering = Rendering(text.patches, text_findings(layer, text))
            case ImageLayer():
                rendering = self._render_image(layer, content.strip(), sources)
            case CodeLayer():
                rendering = _render_code(layer, content)
            case RatingLayer():
                rendering = _render_rating(layer, content)
            case _:
                raise AssertionError(layer)
        own = [patch.cropped(*visible) if visible else patch for patch in rendering.patches]
        patches, findings = self._mask([patch for patch in own if patch], placed, sources, check_time)
        affected = apply_effects(layer, patches, visible, legacy_edges=self._legacy_edges)
        return replace(rendering, patches=tuple(affected), findings=(*rendering.findings, *findings))

    def _render_image(self, layer: ImageLayer, reference: str, sources: LoadedSources) -> Rendering:
        box = (layer.left, layer.top, layer.width, layer.height)
        patches: list[Patch] = [render_box(*box, layer.background)] if layer.background else []
        findings: list[Finding] = []
        try:
            image = self._fit_image(layer, self._process(layer, reference, sources, findings))
        except (InvalidImageError, SourceMissingError) as error:
            if not _is_optional(layer, error):
                findings.append(photo_missing(layer, error))
            match layer.missing:
                case "fail":
                    raise InvalidImageError(
                        gettext_lazy(
                            "The image of the layer “%(name)s” cannot be used: %(reason)s",
                            name=layer.name,
                            reason=error.clause,
                        )
                    ) from None
                case "skip":
                    return Rendering((), tuple(findings))
                case "placeholder":
                    patches.append(render_placeholder(*box, layer.placeholder))
                case "fallback":
                    patches.append(self._render_fallback(layer, sources))
        else:
            patches.append(image.patch.moved(layer.left, layer.top))
            if image.is_cut_off:
                message = gettext_lazy("is cut off: the file of the image ends too early")
                findings.append(Finding(FindingCode.PHOTO_CUT_OFF, message, layer.name))
            if layer.focus == "face" and layer.fit == "cover" and faces_version() is None:
                message = gettext_lazy(
                    "is cropped around its most salient part and not around faces: %(reason)s", reason=MISSING
                )
                findings.append(Finding(FindingCode.PHOTO_UNPROCESSED, message, layer.name))
            if image.enlargement > MAX_ENLARGEMENT:
                message = gettext_lazy(
                    "is enlarged %(times)s times and will look blurred", times=f"{image.enlargement:.1f}"
                )
                findings.append(Finding(FindingCode.UPSCALED, message, layer.name))
        patches = [self._clip(layer, patch) for patch in patches]
        if layer.border:
            radius = min(layer.width, layer.height) / 2 if layer.mask == "circle" else layer.radius
            patches.append(render_box(*box, None, radius, layer.border))
        if layer.outline:
            patches.insert(0, outline_patch(merge_patches(patches), layer.outline))
        return Rendering(tuple(patches), tuple(findings))

    def _process(self, layer: ImageLayer, reference: str, sources: LoadedSources, findings: list[Finding]) -> Source:
        """Return the processed photo of a layer; if there is none, the photo as it is, with a finding."""
        photo = available(sources[reference])
        if layer.process is None:
            return photo
        processed = sources.get(processed_reference(layer.process, reference))
        if isinstance(processed, Source):
            return processed
        reason = processed.clause if processed else gettext_lazy("it was not processed")
        message = gettext_lazy(
            "shows the photo as it is, without %(processor)s: %(reason)s", processor=layer.process, reason=reason
        )
        findings.append(Finding(FindingCode.PHOTO_UNPROCESSED, cut_message(message, MAX_MESSAGE_LENGTH), layer.name))
        return photo

    def _render_fallback(self, layer: ImageLayer, sources: LoadedSources) -> Patch:
        try:
            image = self._fit_image(layer, available(sources[layer.fallback]))
        except (InvalidImageError, SourceMissingError):
            return render_placeholder(layer.left, layer.top, layer.width, layer.height, layer.placeholder)
        return image.patch.moved(layer.left, layer.top)

    def _fit_image(self, layer: ImageLayer, source: Source) -> FittedImage:
        def find(data: bytes) -> Box | None:
            # The product is the same in every size: rows have photos of several, if their texts have several lines.
            found: tuple[Box | None] = self._pixels.get_or_create(
                ("product", source.digest), lambda: (find_product(data),)
            )
            return found[0]

        if layer.focus == "face" and layer.fit == "cover":
            layer = layer.model_copy(update={"focus": self._find_face(source) or "attention"})
        key = (source.digest, *(getattr(layer, name) for name in FITTED))
        image: FittedImage = self._pixels.get_or_create(key, lambda: fit_image(layer, source.data, find))
        return image

    def _find_face(self, source: Source) -> tuple[float, float] | None:
        found: tuple[tuple[float, float] | None] = self._pixels.get_or_create(
            ("face", source.digest), lambda: (find_face(source.data),)
        )
        return found[0]

    def _clip(self, layer: ImageLayer, patch: Patch) -> Patch:
        """Clip a patch to the layer's mask or round corners, and fade it out."""
        height, width = patch.shape
        if layer.fade:
            patch = patch.clipped(fade_mask(width, height, layer.fade))
        if layer.mask == "polygon":
            return patch.clipped(polygon_mask(width, height, layer.mask_points))
        if layer.mask == "circle":
            mask: Pixels = self._pixels.get_or_create(("circle", width, height), lambda: elliptic_mask(width, height))
            return patch.clipped(mask)
        if not layer.radius:
            return patch
        return patch.clipped(self._round_corners(width, height, layer.radius))


def fit_layer_text(
    layer: TextLayer, texts: Sequence[str], width: int, height: int, sources: LoadedSources
) -> FittedText:
    """Fit the content of a text layer into a width and a height in pixels."""
    return fit_text(layer, texts, _typefaces(layer, sources), width, height)


def _source_state(layer: Layer, texts: Sequence[str], sources: LoadedSources) -> str:
    """Return the digests of the image or the uploaded fonts of a layer, or why they are missing."""
    references: list[str] = []
    if isinstance(layer, ImageLayer):
        references = [texts[0].strip(), *([layer.fallback] if layer.missing == "fallback" else [])]
        processed = processed_reference(layer.process, references[0]) if layer.process else ""
        references += [processed] if processed in sources else []
    elif isinstance(layer, TextLayer):
        references = [font for font in layer.fonts() if font not in FAMILIES]
    found = (sources[reference] for reference in references)
    return " ".join(source.digest if isinstance(source, Source) else f"missing: {source}" for source in found)


def _shorten(text: str) -> str:
    """Return a text for a key of the cache: a long one, of which hardly anything is shown, by its digest."""
    return text if len(text) <= MAX_KEY_TEXT else sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _find_overflow(placed: PlacedLayer) -> Iterator[Finding]:
    if placed.overflow:
        message = gettext_lazy(
            "does not fit: its layers need %(pixels)s pixels more than it has", pixels=placed.overflow
        )
        yield Finding(FindingCode.OVERFLOW, message, placed.layer.name)


def _definition(layer: Layer) -> str:
    """Return the document of a layer, without the layers in it."""
    return layer.model_dump_json(exclude_defaults=True, exclude={"layers"})


def _decided_value(layer: Layer, name: str) -> Hashable:
    """Return the value of a property as a part of a key."""
    if name == "spans" and isinstance(layer, TextLayer):
        return tuple(span.model_dump_json() for span in layer.spans)
    value: Hashable = getattr(layer, name)
    return value


def _render_stack_box(layer: StackLayer, window: Window | None) -> Rendering:
    """Render the background and the border of a stack, with its shadows."""
    place = (layer.left, layer.top, layer.width, layer.height)
    box = render_box(*place, layer.background, layer.radius, layer.border, window)
    return Rendering((*cast_shadows(layer, box, window), box))


def _render_code(layer: CodeLayer, content: str) -> Rendering:
    try:
        code = render_code(layer, content)
    except InvalidBarcodeError as error:
        message = gettext_lazy(
            "The code of the layer “%(name)s” cannot be rendered: %(reason)s", name=layer.name, reason=str(error)
        )
        raise InvalidBarcodeError(message, str(error)) from None
    if code is None:
        return Rendering()
    box = (layer.left, layer.top, layer.width, layer.height, layer.background, layer.radius, layer.border)
    findings: tuple[Finding, ...] = ()
    if layer.code == "ean13" and is_upca(content):
        message = gettext_lazy("has 12 digits, which are read as a UPC-A number; choose the type UPC-A or GTIN")
        findings = (Finding(FindingCode.VALUE_UNCLEAR, message, layer.name),)
    return Rendering((render_box(*box), code.patch), findings, (code,))


def _render_rating(layer: RatingLayer, content: str) -> Rendering:
    if not content.strip():
        return Rendering()
    value = read_rating(content, layer.stars)
    if isinstance(value, Unclear):
        return Rendering((), (unclear_value(layer, "shows no stars", content, value),))
    return Rendering((render_rating(layer, float(value)),))


def _typefaces(layer: TextLayer, sources: LoadedSources) -> dict[str, Typeface]:
    return {font: _typeface(font, sources) for font in layer.fonts()}


def _typeface(font: str, sources: LoadedSources) -> Typeface:
    if font in FAMILIES:
        return Typeface(font)
    source = available(sources[font])
    return Typeface(*use_font(source.data, source.digest))


def _is_optional(layer: ImageLayer, error: InvalidImageError | SourceMissingError) -> bool:
    """Return whether the row names no image for a layer that can do without one."""
    return isinstance(error, SourceMissingError) and error.is_unnamed and layer.missing in ("skip", "fallback")


def available(source: Source | SourceMissingError) -> Source:
    """Return a source. Raises SourceMissingError if it is missing."""
    if isinstance(source, SourceMissingError):
        raise source
    return source
