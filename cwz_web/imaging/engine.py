"""The engine: a template document becomes a plan; a plan and a row's values become an image.

Layers that do not depend on the row are rendered once. The lowest of them form the base, a canvas that each image
starts from; the other ones are cached as patches.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from threading import Lock
from typing import Any

import cachetools
import pyvips

from cwz_web.imaging.barcodes import is_upca, render_code
from cwz_web.imaging.bindings import BoundText
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.code_checks import RenderedCode, find_scan_problem
from cwz_web.imaging.compositing import Patch, Pixels, blend_patch, new_canvas, parse_color
from cwz_web.imaging.conditions import evaluate_condition
from cwz_web.imaging.decoding import FittedImage, Source, fit_image
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.effects import apply_effects
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.errors import (
    ImageTooLargeError,
    InvalidBarcodeError,
    InvalidFontError,
    InvalidImageError,
    RenderTimeoutError,
    SourceMissingError,
    UnknownFieldsError,
    UnknownSizeError,
)
from cwz_web.imaging.findings import Finding, FindingCode, faults
from cwz_web.imaging.fonts import FAMILIES, fonts_version, use_font
from cwz_web.imaging.layers import CodeLayer, ImageLayer, Layer, RatingLayer, ShapeLayer, TextLayer
from cwz_web.imaging.lint import MAX_ENLARGEMENT, contrast_finding, text_findings
from cwz_web.imaging.prices import HiddenPrice, hide_old_prices
from cwz_web.imaging.shapes import (
    elliptic_mask,
    render_box,
    render_placeholder,
    render_rating,
    render_shape,
    rounded_mask,
)
from cwz_web.imaging.text import Typeface, render_text
from cwz_web.values.formats import Unclear
from cwz_web.values.numbers import read_rating

# Increment the first number whenever the same inputs result in other pixels: digests of images contain it.
ENGINE_VERSION = f"4/{pyvips.version(0)}.{pyvips.version(1)}/{version('simplejpeg')}/{version('isal')}"
MAX_PIXELS = 25_000_000
MAX_SOURCE_BYTES = 100 * 1024 * 1024
RENDER_SECONDS = 20.0
CACHE_BYTES = 256 * 1024 * 1024
CACHED_PLANS = 64

# Loads an image or a font by its reference: a URL or `upload:<sha256>`. Raises SourceMissingError.
LoadSource = Callable[[str], Source]
# The sources of an image by reference, with the error in the place of each one that is missing.
LoadedSources = Mapping[str, Source | SourceMissingError]


@dataclass(frozen=True)
class RenderedImage:
    """An image file, and what is wrong with the image."""

    data: bytes
    findings: tuple[Finding, ...] = ()

    @property
    def nbytes(self) -> int:
        """The size of the file in bytes."""
        return len(self.data)


@dataclass(frozen=True)
class Composition:
    """The pixels of an image (height, width, 4), and the findings and the codes of its layers."""

    pixels: Pixels
    findings: tuple[Finding, ...] = ()
    codes: tuple[RenderedCode, ...] = ()

    @property
    def nbytes(self) -> int:
        """The size of the pixels in bytes."""
        return self.pixels.nbytes


@dataclass(frozen=True)
class _Rendering:
    """A rendered layer: its patches and findings, and its code, if it is one."""

    patches: tuple[Patch, ...] = ()
    findings: tuple[Finding, ...] = ()
    code: RenderedCode | None = None

    @property
    def nbytes(self) -> int:
        """The size of the patches in bytes."""
        return sum(patch.nbytes for patch in self.patches)


@dataclass(frozen=True)
class _PlannedLayer:
    """A layer with its parsed content."""

    layer: Layer
    bound_text: BoundText | None

    @property
    def is_static(self) -> bool:
        """Whether the layer looks the same in every row that shows it."""
        return self.bound_text is None or not self.bound_text.fields

    def content(self, values: Mapping[str, str]) -> str:
        """Return the layer's content for a row."""
        return self.bound_text.resolve(values)[0] if self.bound_text else ""

    def resolve(self, values: Mapping[str, str]) -> tuple[str, Iterable[Finding]]:
        """Return the layer's content for a row, and the values that it cannot show as its template asks."""
        content, unclear_values = self.bound_text.resolve(values) if self.bound_text else ("", ())
        return content, (
            _unclear_value(self.layer, f"shows the field “{field}” as it is", values[field], unclear)
            for field, unclear in unclear_values
        )

    def is_shown(self, values: Mapping[str, str]) -> bool:
        """Return whether the layer's condition holds for a row."""
        condition = self.layer.show_if
        return condition is None or evaluate_condition(condition, values)[0]

    def appearance(self, values: Mapping[str, str]) -> str | None:
        """Return what the layer shows of a row; None if it is hidden."""
        if not self.is_shown(values):
            return None
        content = self.content(values)
        return str(read_rating(content, self.layer.stars)) if isinstance(self.layer, RatingLayer) else content

    def unclear_condition(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the value of a row that the layer's condition cannot compare."""
        condition = self.layer.show_if
        if condition and (unclear := evaluate_condition(condition, values)[1]):
            field = condition.field
            yield _unclear_value(self.layer, f"is hidden because of the field “{field}”", values[field], unclear)


class Engine:
    """Creates and caches plans. One for each process; safe for several threads.

    Args:
        cache_bytes: the limit of the pixel cache, which holds decoded images and rendered static layers.
        cached_plans: how many plans are cached.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES, cached_plans: int = CACHED_PLANS) -> None:
        self._pixels: ByteCache[Any] = ByteCache(cache_bytes)
        self._plans: cachetools.LRUCache[tuple[str, str, int], Plan] = cachetools.LRUCache(cached_plans)
        self._lock = Lock()

    def plan(self, template: ImageTemplate, size: str = DEFAULT_SIZE, scale: int = 1) -> "Plan":
        """Return the plan of a template in one of its sizes.

        Args:
            size: the name of the size.
            scale: how many pixels of the image correspond to one pixel of the canvas.

        Raises:
            UnknownSizeError: the template does not have this size.
            ImageTooLargeError: the image would have too many pixels.
        """
        key = (template.digest, size, scale)
        with self._lock:
            plan = self._plans.get(key)
        if plan is not None:
            return plan
        try:
            sized = template.in_size(size)
        except KeyError:
            raise UnknownSizeError(size, template.size_names) from None
        if sized.canvas.width * sized.canvas.height * scale**2 > MAX_PIXELS:
            raise ImageTooLargeError(f"The image would have more than {MAX_PIXELS // 10**6} million pixels")
        plan = Plan(sized, scale, self._pixels)
        with self._lock:
            self._plans[key] = plan
        return plan


class Plan:
    """A template in one size and scale, ready to render. Safe for several threads.

    Args:
        template: the template in one size, unscaled.
        scale: how many pixels of the image correspond to one pixel of the canvas.
        pixels: the cache for decoded images and rendered static layers.
    """

    def __init__(self, template: ImageTemplate, scale: int, pixels: ByteCache[Any]) -> None:
        self.template, self.scale = template, scale
        self.digest = _digest([template.visible().canonical(), scale])
        self._pixels = pixels
        self._canvas = template.scaled(scale).canvas
        self._defaults = {field.name: field.default for field in template.fields}
        visible = [layer for layer in template.scaled(scale).layers if not layer.hidden]
        self._layers = [_PlannedLayer(layer, layer.bound_text()) for layer in visible]
        changing = [bool(layer.fields()) for layer in visible]
        first = changing.index(True) if True in changing else len(changing)
        self._base_layers, self._upper_layers = self._layers[:first], self._layers[first:]

    @property
    def width(self) -> int:
        """The width of the image in pixels."""
        return self._canvas.width

    @property
    def height(self) -> int:
        """The height of the image in pixels."""
        return self._canvas.height

    @property
    def used_fields(self) -> frozenset[str]:
        """The fields that the visible layers and their conditions depend on."""
        return frozenset[str]().union(*(planned.layer.fields() for planned in self._layers))

    def content_fields(self, layer_name: str) -> frozenset[str]:
        """Return the fields that the content of a layer depends on."""
        layer = self.template.find_layer(layer_name)
        return layer.content_fields() if layer else frozenset()

    def fill_values(self, data: Mapping[str, str]) -> dict[str, str]:
        """Return a row's values, with the template's defaults for missing fields, and without lower old prices.

        Raises:
            UnknownFieldsError: the row has fields that the template does not have.
        """
        unknown = sorted(set(data) - set(self._defaults))
        if unknown:
            raise UnknownFieldsError(unknown, list(self._defaults))
        values = {**self._defaults, **data}
        return {**values, **hide_old_prices(values)}

    def load_sources(self, values: Mapping[str, str], load: LoadSource) -> dict[str, Source | SourceMissingError]:
        """Load all images and fonts of a row.

        Returns:
            The sources by reference; an error in the place of an image that the layer can do without.

        Raises:
            SourceMissingError: a required image or font is missing.
            ImageTooLargeError: the sources have too many bytes in total.
        """
        sources: dict[str, Source | SourceMissingError] = {}
        for layer, reference, required in self._references(values):
            if reference not in sources:
                try:
                    sources[reference] = load(reference)
                except SourceMissingError as error:
                    sources[reference] = error
            source = sources[reference]
            if isinstance(source, SourceMissingError) and required:
                raise SourceMissingError(
                    f"The {required} of the layer “{layer.name}” is missing: {source.clause}",
                    is_temporary=source.is_temporary,
                    retry_after=source.retry_after,
                )
        if sum(len(source.data) for source in sources.values() if isinstance(source, Source)) > MAX_SOURCE_BYTES:
            raise ImageTooLargeError(f"The images of this row have more than {MAX_SOURCE_BYTES // 1024**2} MB in total")
        return sources

    def image_digest(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> str:
        """Return the digest that names the image. It is equal if and only if all inputs of the image are equal."""
        used = [planned.appearance(values) for planned in self._layers]
        used += [finding.message for finding in self._unclear_prices(values)]  # a cached image has its findings
        digests = {key: source.digest if isinstance(source, Source) else None for key, source in sources.items()}
        engine = [ENGINE_VERSION, fonts_version()]
        # The plan's digest covers the size.
        options = output.model_dump(mode="json", exclude={"size"})
        return _digest([engine, self.digest, used, digests, options])

    def render(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        """Render and encode the image of a row. Raises ImagingError."""
        composition = self.compose(values, sources)
        return RenderedImage(encode(composition.pixels, output), faults(composition.findings))

    def compose(self, values: Mapping[str, str], sources: LoadedSources) -> Composition:
        """Render the image of a row as pixels. Raises ImagingError."""
        deadline = time.monotonic() + RENDER_SECONDS
        key = ("base", self.digest, *(self._source_state(layer, sources) for layer in self._base_layers))
        base: Composition = self._pixels.get_or_create(
            key, lambda: self._blend(Composition(self._background()), self._base_layers, values, sources, deadline)
        )
        upper = (layer for layer in self._upper_layers if layer.is_shown(values))
        unclear = (finding for layer in self._upper_layers for finding in layer.unclear_condition(values))
        findings = (*base.findings, *self._unclear_prices(values), *unclear)
        start = replace(base, pixels=base.pixels.copy(), findings=findings)
        image = self._blend(start, upper, values, sources, deadline)
        # At the end, since a layer above can cover a code.
        return replace(image, findings=(*image.findings, *_check_codes(image.codes, image.pixels)))

    def lint(self, values: Mapping[str, str], sources: LoadedSources) -> list[Finding]:
        """Return the findings of a row's image, from the lowest layer to the highest."""
        findings = [*self._unclear_prices(values)]
        codes: list[RenderedCode] = []
        canvas = self._background()
        for planned in self._layers:
            layer = planned.layer
            findings += planned.unclear_condition(values)
            if not planned.is_shown(values):
                continue
            try:
                rendering = self._render_layer(planned, values, sources)
            except InvalidBarcodeError as error:
                findings.append(Finding(FindingCode.BAD_CODE, f"cannot be rendered: {error.reason}", layer.name))
                continue
            except (InvalidImageError, InvalidFontError) as error:
                findings.append(Finding(FindingCode.PHOTO_MISSING, f"cannot be rendered: {error.clause}", layer.name))
                continue
            findings += rendering.findings
            codes += [rendering.code] if rendering.code else []
            if isinstance(layer, TextLayer) and rendering.patches and not layer.stroke:
                findings += _check_contrast(layer, planned.content(values), _typeface(layer, sources), canvas)
            for patch in rendering.patches:
                blend_patch(canvas, patch)
        return [*findings, *_check_codes(codes, canvas)]

    def _unclear_prices(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the old prices of a row that cannot be compared, for each layer that would show them."""
        for name, value in values.items():
            if isinstance(value, HiddenPrice) and value.unclear:
                for planned in self._layers:
                    if name in planned.layer.fields():
                        yield _unclear_value(planned.layer, f"leaves out the field “{name}”", value.text, value.unclear)

    def _references(self, values: Mapping[str, str]) -> Iterator[tuple[Layer, str, str]]:
        """Yield the references of the visible layers, with the name of the source if it is required."""
        for planned in self._layers:
            layer = planned.layer
            if not planned.is_shown(values):
                continue
            if isinstance(layer, ImageLayer):
                yield layer, planned.content(values).strip(), "image" if layer.missing == "fail" else ""
                if layer.missing == "fallback":
                    yield layer, layer.fallback, ""
            elif isinstance(layer, TextLayer) and layer.font not in FAMILIES:
                yield layer, layer.font, "font"

    def _background(self) -> Pixels:
        canvas = self._canvas
        if isinstance(canvas.background, str):
            return new_canvas(canvas.width, canvas.height, parse_color(canvas.background)[0])
        pixels = new_canvas(canvas.width, canvas.height, (255, 255, 255))
        blend_patch(pixels, render_box(0, 0, canvas.width, canvas.height, canvas.background))
        return pixels

    def _blend(
        self,
        below: Composition,
        layers: Iterable[_PlannedLayer],
        values: Mapping[str, str],
        sources: LoadedSources,
        deadline: float,
    ) -> Composition:
        """Render layers onto the pixels of a composition. Raises RenderTimeoutError after the deadline."""
        findings, codes = list(below.findings), list(below.codes)
        for layer in layers:
            rendering = self._render_layer(layer, values, sources)
            findings += rendering.findings
            codes += [rendering.code] if rendering.code else []
            for patch in rendering.patches:
                blend_patch(below.pixels, patch)
            if time.monotonic() > deadline:
                raise RenderTimeoutError(f"The image takes longer than {RENDER_SECONDS:.0f} seconds to render")
        return Composition(below.pixels, tuple(findings), tuple(codes))

    def _render_layer(self, planned: _PlannedLayer, values: Mapping[str, str], sources: LoadedSources) -> _Rendering:
        if not planned.is_static:
            content, unclear = planned.resolve(values)
            rendering = self._render_content(planned.layer, content, sources)
            return replace(rendering, findings=(*rendering.findings, *unclear))
        key = ("layer", self.digest, planned.layer.name, self._source_state(planned, sources))
        static: _Rendering = self._pixels.get_or_create(
            key, lambda: self._render_content(planned.layer, planned.content(values), sources)
        )
        return static

    def _source_state(self, planned: _PlannedLayer, sources: LoadedSources) -> str:
        """Return what a static layer depends on beside the document: the digest of its image, or why it is missing."""
        if not isinstance(planned.layer, ImageLayer):
            return ""
        source = sources[planned.content(self._defaults).strip()]
        return source.digest if isinstance(source, Source) else f"missing: {source}"

    def _render_content(self, layer: Layer, content: str, sources: LoadedSources) -> _Rendering:
        match layer:
            case ShapeLayer():
                rendering = _Rendering((render_shape(layer),))
            case TextLayer():
                text = render_text(layer, content, _typeface(layer, sources))
                rendering = _Rendering(text.patches, text_findings(layer, text))
            case ImageLayer():
                rendering = self._render_image(layer, content.strip(), sources)
            case CodeLayer():
                rendering = _render_code(layer, content)
            case RatingLayer():
                rendering = _render_rating(layer, content)
            case _:
                raise AssertionError(layer)
        return replace(rendering, patches=tuple(apply_effects(layer, rendering.patches)))

    def _render_image(self, layer: ImageLayer, reference: str, sources: LoadedSources) -> _Rendering:
        box = (layer.left, layer.top, layer.width, layer.height)
        patches: list[Patch] = [render_box(*box, layer.background)] if layer.background else []
        findings = []
        try:
            image = self._fit_image(layer, _available(sources[reference]))
        except (InvalidImageError, SourceMissingError) as error:
            if not _is_optional(layer, error):
                findings.append(Finding(FindingCode.PHOTO_MISSING, f"has no image: {error.clause}", layer.name))
            match layer.missing:
                case "fail":
                    raise InvalidImageError(
                        f"The image of the layer “{layer.name}” cannot be used: {error.clause}"
                    ) from None
                case "skip":
                    return _Rendering((), tuple(findings))
                case "placeholder":
                    patches.append(render_placeholder(*box, layer.placeholder))
                case "fallback":
                    patches.append(self._render_fallback(layer, sources))
        else:
            patches.append(image.patch.moved(layer.left, layer.top))
            if image.is_cut_off:
                message = "is cut off: the file of the image ends too early"
                findings.append(Finding(FindingCode.PHOTO_CUT_OFF, message, layer.name))
            if image.enlargement > MAX_ENLARGEMENT:
                message = f"is enlarged {image.enlargement:.1f} times and will look blurred"
                findings.append(Finding(FindingCode.UPSCALED, message, layer.name))
        patches = [self._clip(layer, patch) for patch in patches]
        if layer.border:
            radius = min(layer.width, layer.height) / 2 if layer.mask == "circle" else layer.radius
            patches.append(render_box(*box, None, radius, layer.border))
        return _Rendering(tuple(patches), tuple(findings))

    def _render_fallback(self, layer: ImageLayer, sources: LoadedSources) -> Patch:
        try:
            image = self._fit_image(layer, _available(sources[layer.fallback]))
        except (InvalidImageError, SourceMissingError):
            return render_placeholder(layer.left, layer.top, layer.width, layer.height, layer.placeholder)
        return image.patch.moved(layer.left, layer.top)

    def _fit_image(self, layer: ImageLayer, source: Source) -> FittedImage:
        key = (source.digest, layer.width, layer.height, layer.fit, layer.focus, layer.grayscale)
        image: FittedImage = self._pixels.get_or_create(key, lambda: fit_image(layer, source.data))
        return image

    def _clip(self, layer: ImageLayer, patch: Patch) -> Patch:
        """Clip a patch to the layer's mask or round corners."""
        height, width = patch.shape
        if layer.mask == "circle":
            mask: Pixels = self._pixels.get_or_create(("circle", width, height), lambda: elliptic_mask(width, height))
            return patch.clipped(mask)
        if not layer.radius:
            return patch
        key = ("corners", width, height, layer.radius)
        mask = self._pixels.get_or_create(key, lambda: rounded_mask(width, height, layer.radius))
        return patch.clipped(mask)


def _check_contrast(layer: TextLayer, content: str, typeface: Typeface, canvas: Pixels) -> Iterator[Finding]:
    text = render_text(layer, content, typeface)
    *box, letters = text.patches
    below = canvas.copy() if box else canvas
    for patch in box:
        blend_patch(below, patch)
    finding = contrast_finding(layer, text.font_size, letters, below)
    if finding:
        yield finding


def _render_code(layer: CodeLayer, content: str) -> _Rendering:
    try:
        code = render_code(layer, content)
    except InvalidBarcodeError as error:
        message = f"The code of the layer “{layer.name}” cannot be rendered: {error}"
        raise InvalidBarcodeError(message, str(error)) from None
    if code is None:
        return _Rendering()
    box = (layer.left, layer.top, layer.width, layer.height, layer.background, layer.radius, layer.border)
    findings: tuple[Finding, ...] = ()
    if layer.code == "ean13" and is_upca(content):
        message = "has 12 digits, which are read as a UPC-A number; choose the type UPC-A or GTIN"
        findings = (Finding(FindingCode.VALUE_UNCLEAR, message, layer.name),)
    return _Rendering((render_box(*box), code.patch), findings, code)


def _check_codes(codes: Iterable[RenderedCode], canvas: Pixels) -> Iterator[Finding]:
    """Yield the findings of codes in a finished image. A rotated code is not checked."""
    for code in codes:
        problem = None if code.is_rotated else find_scan_problem(code, canvas)
        if problem:
            yield Finding(FindingCode.UNSCANNABLE, f"cannot be scanned reliably: {problem}", code.layer)


def _render_rating(layer: RatingLayer, content: str) -> _Rendering:
    if not content.strip():
        return _Rendering()
    value = read_rating(content, layer.stars)
    if isinstance(value, Unclear):
        return _Rendering((), (_unclear_value(layer, "shows no stars", content, value),))
    return _Rendering((render_rating(layer, float(value)),))


def _unclear_value(layer: Layer, consequence: str, value: str, unclear: Unclear) -> Finding:
    message = f"{consequence}: “{value[:40]}” {unclear.reason}"
    return Finding(FindingCode.VALUE_UNCLEAR, message.replace("\x00", ""), layer.name)


def _typeface(layer: TextLayer, sources: LoadedSources) -> Typeface:
    if layer.font in FAMILIES:
        return Typeface(layer.font)
    source = _available(sources[layer.font])
    return Typeface(*use_font(source.data, source.digest))


def _is_optional(layer: ImageLayer, error: InvalidImageError | SourceMissingError) -> bool:
    """Return whether the row names no image for a layer that can do without one."""
    return isinstance(error, SourceMissingError) and error.is_unnamed and layer.missing in ("skip", "fallback")


def _available(source: Source | SourceMissingError) -> Source:
    if isinstance(source, SourceMissingError):
        raise source
    return source


_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _digest(value: object) -> str:
    return sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()
