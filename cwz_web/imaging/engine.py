"""The engine: a template document becomes a plan; a plan and a row's values become an image.

Layers that do not depend on the row are rendered once. The lowest of them form the base, a canvas that each image
starts from; the other ones are cached as patches.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from threading import Lock
from types import MappingProxyType
from typing import Any

import cachetools
import pyvips

from cwz_web.i18n import gettext_lazy, gettext_noop, use_locale
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.compositing import Patch, blend_patch
from cwz_web.imaging.composition import Composition, RenderedImage, check_codes, render_background
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.design_checks import check_design
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.effects import Window
from cwz_web.imaging.encoders import Localization, Output
from cwz_web.imaging.errors import (
    ImageTooLargeError,
    InvalidBarcodeError,
    InvalidFontError,
    InvalidImageError,
    RenderTimeoutError,
    SourceMissingError,
    UnknownSizeError,
)
from cwz_web.imaging.faces import faces_version
from cwz_web.imaging.findings import Finding, faults
from cwz_web.imaging.fonts import FAMILIES, fonts_version
from cwz_web.imaging.icons import icons_version
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layer_checks import LayerChecker
from cwz_web.imaging.layer_rendering import CheckTime, LayerRenderer, Rendering
from cwz_web.imaging.layers import ImageLayer, ShapeLayer
from cwz_web.imaging.placement import LoadedSources, PlacedLayer, Placement, find_left_out_photos
from cwz_web.imaging.planned_layers import PlannedLayer, plan_layers
from cwz_web.imaging.row_inputs import LoadSource, RowInputs, load_or_error
from cwz_web.imaging.text_fitting import FittedText
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.tiles import Tile, TiledLayer, tile_layers

# Increment the first number whenever the same inputs result in other pixels: digests of images contain it.
ENGINE_VERSION = f"4/{pyvips.version(0)}.{pyvips.version(1)}/{version('simplejpeg')}/{version('isal')}"
MAX_PIXELS = 25_000_000
MAX_SOURCE_BYTES = 100 * 1024 * 1024
RENDER_SECONDS = 20.0
CACHE_BYTES = 256 * 1024 * 1024
_IMAGE_MISSING = gettext_noop("The image of the layer “%(name)s” is missing: %(reason)s")
_FONT_MISSING = gettext_noop("The font of the layer “%(name)s” is missing: %(reason)s")
CACHED_PLANS = 64

DEFAULT_OUTPUT = Output()


class Engine:
    """Creates and caches plans. One for each process; safe for several threads.

    Args:
        cache_bytes: the limit of the pixel cache, which holds decoded images and rendered static layers.
        cached_plans: how many plans are cached; as many of overridden templates apart from these, which requests with
            ever new values would otherwise displace.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES, cached_plans: int = CACHED_PLANS) -> None:
        self._pixels: ByteCache[Any] = ByteCache(cache_bytes)
        self._plans: cachetools.LRUCache[tuple[str, str, int], Plan] = cachetools.LRUCache(cached_plans)
        self._overridden_plans: cachetools.LRUCache[tuple[str, str, int], Plan] = cachetools.LRUCache(cached_plans)
        self._lock = Lock()

    def plan(
        self, template: ImageTemplate, size: str = DEFAULT_SIZE, scale: int = 1, *, is_overridden: bool = False
    ) -> "Plan":
        """Return the plan of a template in one of its sizes.

        Args:
            size: the name of the size.
            scale: how many pixels of the image correspond to one pixel of the canvas.
            is_overridden: whether a request has overridden layers of the template.

        Raises:
            UnknownSizeError: the template does not have this size.
            ImageTooLargeError: the image would have too many pixels.
        """
        key = (template.digest, size, scale)
        plans = self._overridden_plans if is_overridden else self._plans
        with self._lock:
            plan = plans.get(key)
        if plan is not None:
            return plan
        template = template.resolved()
        try:
            sized = template.in_size(size)
        except KeyError:
            raise UnknownSizeError(size, template.size_names) from None
        if sized.canvas.width * sized.canvas.height * scale**2 > MAX_PIXELS:
            raise ImageTooLargeError(
                gettext_lazy("The image would have more than %(max)s million pixels", max=MAX_PIXELS // 10**6)
            )
        plan = Plan(sized, scale, self._pixels, check_design(template, size))
        with self._lock:
            plans[key] = plan
        return plan


class Plan:
    """A template in one size and scale, ready to render. Safe for several threads.

    Args:
        template: the template in one size, unscaled.
        scale: how many pixels of the image correspond to one pixel of the canvas.
        pixels: the cache for decoded images and rendered static layers.
        design: the findings of the template that do not depend on a row.
    """

    def __init__(
        self, template: ImageTemplate, scale: int, pixels: ByteCache[Any], design: Sequence[Finding] = ()
    ) -> None:
        self.template, self.scale, self._design = template, scale, design
        self.digest = _digest([*template.visible().digest_parts(), scale])
        self._pixels = pixels
        scaled = template.scaled(scale) if scale > 1 else template
        self._canvas = scaled.canvas
        self._defaults = {field.name: field.formatted_default for field in template.fields}
        self._layers = plan_layers(scaled.layers, scale)
        parts = [[*planned.definitions()] for planned in self._layers]
        self._renderer = LayerRenderer(
            pixels, chain.from_iterable(parts), self._defaults, legacy_edges=template.legacy_edges
        )
        images = [each for each in chain.from_iterable(parts) if isinstance(each, ImageLayer)]
        self._may_have_faces = any(image.focus == "face" or "focus" in image.bound for image in images)
        self._has_icons = any(isinstance(each, ShapeLayer) and each.icon for each in chain.from_iterable(parts))
        self._inputs = RowInputs(template, scaled.layers, self._layers, pixels)
        changing = [
            bool(planned.fields()) or planned.is_bound or any(each.expressions() for each in layers)
            for planned, layers in zip(self._layers, parts, strict=True)
        ]
        first = changing.index(True) if True in changing else len(changing)
        self._base_layers, self._upper_layers = self._layers[:first], self._layers[first:]
        # The box of the first stack that changes is part of the base, if it is the same in every image.
        self._base_box = next((layer for layer in self._upper_layers[:1] if layer.has_static_box), None)
        self._base_key = self._find_base_key()

    def _find_base_key(self) -> str:
        """Return what the base depends on beside images: a preview after an edit of a layer above has it already."""
        parts = [part for planned in self._base_layers for part in (planned, planned.mask) if part]
        layers = [part.layer.model_dump_json(exclude_defaults=True) for part in parts]
        box = self._base_box.layer.model_dump_json(exclude={"layers"}) if self._base_box else ""
        return _digest([self._canvas.model_dump_json(), layers, box, self.template.legacy_edges])

    @property
    def width(self) -> int:
        """The width of the image in pixels."""
        return self._canvas.width

    @property
    def height(self) -> int:
        """The height of the image in pixels."""
        return self._canvas.height

    @property
    def _window(self) -> Window:
        """What can be seen."""
        return 0, 0, self.width, self.height

    @property
    def used_fields(self) -> frozenset[str]:
        """The fields that the visible layers and their conditions depend on."""
        used = frozenset[str]().union(*(planned.fields() for planned in self._layers))
        return self.template.with_inputs(used) & self._defaults.keys()

    def content_fields(self, layer_name: str) -> frozenset[str]:
        """Return the fields that the content of a layer depends on."""
        layer = self.template.find_layer(layer_name)
        return self.template.with_inputs(layer.content_fields()) & self._defaults.keys() if layer else frozenset()

    def load_photos(self, data: Mapping[str, str], load: LoadSource) -> dict[str, Source | SourceMissingError]:
        """Load the photos of a row that expressions use parts of, such as photo.width.

        Args:
            data: the row.
            load: loads a photo with its bytes.

        Returns:
            The photos by reference, or why one is missing.
        """
        return self._inputs.load_photos(data, load)

    def fill_values(
        self,
        data: Mapping[str, str],
        output: Output = DEFAULT_OUTPUT,
        photos: LoadedSources = MappingProxyType({}),
    ) -> dict[str, str]:
        """Return a row's values, with defaults and computed fields, and without lower old prices.

        The template's defaults take the place of missing fields, and of values that do not fit the type of their field.

        Args:
            data: the row.
            output: decides about the locale and the currency.
            photos: what load_photos has loaded.

        Raises:
            UnknownFieldsError: the row has fields that the template does not have.
            RenderTimeoutError: reading the photos takes too long.
        """
        return self._inputs.fill(data, output, photos, _start_clock())

    def load_sources(
        self, values: Mapping[str, str], load: LoadSource, photos: LoadedSources = MappingProxyType({})
    ) -> dict[str, Source | SourceMissingError]:
        """Load all images and fonts of a row.

        Args:
            values: the row.
            load: loads an image or a font.
            photos: what load_photos has loaded; it is a part of the result, since the image depends on it.

        Returns:
            The sources by reference; an error in the place of an image that the layer can do without.

        Raises:
            SourceMissingError: a required image or font is missing.
            ImageTooLargeError: the sources have too many bytes in total.
        """
        sources: dict[str, Source | SourceMissingError] = dict(photos)
        for layer, reference, required in self._references(values):
            if reference not in sources:
                sources[reference] = load_or_error(reference, load)
            source = sources[reference]
            if isinstance(source, SourceMissingError) and required:
                raise SourceMissingError(
                    gettext_lazy(required, name=layer.name, reason=source.clause),
                    is_temporary=source.is_temporary,
                    retry_after=source.retry_after,
                )
        if sum(len(source.data) for source in sources.values() if isinstance(source, Source)) > MAX_SOURCE_BYTES:
            raise ImageTooLargeError(
                gettext_lazy(
                    "The images of this row have more than %(max)s MB in total", max=MAX_SOURCE_BYTES // 1024**2
                )
            )
        return sources

    def processed_photos(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the processor and the reference of each photo that a row shows processed."""
        shown = (each for layer in self._layers for each in layer.for_row(values).walk(values))
        photos = (
            (planned.layer.process, planned.content(row).strip())
            for planned, row in shown
            if isinstance(planned.layer, ImageLayer) and planned.layer.process
        )
        return list(dict.fromkeys(photos))

    def image_digest(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> str:
        """Return the digest that names the image. It is equal if and only if all inputs of the image are equal."""
        layers = [planned.for_row(values) for planned in self._layers]
        used = [planned.appearance(values) for planned in layers]
        # A cached image has its findings.
        used += [finding.message for finding in self._inputs.find_unclear(values)]
        used += [finding.message for planned in layers for finding in planned.unclear_conditions(values)]
        digests = {key: source.digest if isinstance(source, Source) else None for key, source in sources.items()}
        engine = [ENGINE_VERSION, fonts_version(), *([icons_version()] if self._has_icons else [])]
        if self._may_have_faces and any(_is_on_face(each) for layer in layers for each, _ in layer.walk(values)):
            engine.append(f"faces {faces_version()}")
        # The plan's digest covers the size, and what the layers show covers the market.
        options = output.model_dump(mode="json", exclude={"size", *Localization.model_fields})
        return _digest([engine, self.digest, used, digests, options])

    def render(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        """Render and encode the image of a row. Raises ImagingError."""
        composition = self.compose(values, sources)
        return RenderedImage(composition.encode(output), faults(composition.findings))

    def compose(self, values: Mapping[str, str], sources: LoadedSources) -> Composition:
        """Render the image of a row as pixels. Raises ImagingError."""
        check_time = _start_clock()
        key = ("base", self._base_key, *(self._renderer.source_state(layer, sources) for layer in self._base_layers))
        base: Composition = self._pixels.get_or_create(key, lambda: self._render_base(values, sources, check_time))
        upper = [planned.for_row(values) for planned in self._upper_layers]
        unclear = (finding for layer in upper for finding in layer.unclear_conditions(values))
        findings = (*base.findings, *self._inputs.find_unclear(values), *unclear)
        start = replace(base, pixels=base.pixels.copy(), findings=findings)
        image = self._blend(start, upper, values, sources, check_time)
        # At the end, since a layer above can cover a code.
        return replace(image, findings=(*image.findings, *check_codes(image.codes, image.opaque_pixels())))

    @use_locale(None)
    def place(self, values: Mapping[str, str], sources: LoadedSources) -> list[PlacedLayer]:
        """Return the layers of the canvas that a row shows at their places. Raises ImagingError."""
        placement = self._placement(sources, _start_clock())
        layers = [planned.for_row(values) for planned in self._layers]
        return [placement.place(planned, values) for planned in layers if planned.is_shown(values)]

    def render_background_tile(self) -> Tile | None:
        """Render the background of the canvas as a tile; None if it is transparent."""
        if not self._canvas.opacity:
            return None

        def create() -> Tile | None:
            background = render_background(self._canvas)
            alpha = background.pixels[..., 3] if background.has_alpha else None
            return Tile.of([Patch(0, 0, background.pixels, alpha)], (0, 0, self.width, self.height))

        key = ("background", self._canvas.model_dump_json())
        tile: Tile | None = self._pixels.get_or_create(key, create)
        return tile

    def render_tiles(
        self, values: Mapping[str, str], sources: LoadedSources, template: ImageTemplate
    ) -> Iterator[TiledLayer]:
        """Yield the layers of a row as tiles, up to half a canvas beyond its edges. Raises ImagingError.

        Args:
            values: the values of the row.
            sources: its images and fonts.
            template: the template in one size with opacity and blend modes, which this plan is without.
        """
        check_time = _start_clock()
        window = (-self.width // 2, -self.height // 2, 2 * self.width, 2 * self.height)

        @use_locale(None)  # the results are cached
        def render(placed: PlacedLayer, is_whole: bool) -> Tile | str | None:
            check_time()
            try:
                return self._renderer.render_tile(placed, sources, window, check_time, is_whole=is_whole)
            except (InvalidBarcodeError, InvalidImageError, InvalidFontError, SourceMissingError) as error:
                return str(error)

        yield from tile_layers(self.place(values, sources), template, render)

    def contents(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield the names of the layers that a row shows with a text, such as the URL of an image, and that text."""
        for planned, row in (each for layer in self._layers for each in layer.for_row(values).walk(values)):
            if texts := planned.texts(row):
                yield planned.layer.name, "".join(texts)

    def lint(self, values: Mapping[str, str], sources: LoadedSources) -> list[Finding]:
        """Return the findings of a row's image, from the lowest layer to the highest."""
        check_time = _start_clock()
        placement = self._placement(sources, check_time)
        checker = LayerChecker(
            self._renderer, sources, self._window, render_background(self._canvas).opaque_pixels(), check_time
        )
        findings = [*self._design, *self._inputs.find_unclear(values)]
        for planned in (layer.for_row(values) for layer in self._layers):
            findings += planned.unclear_conditions(values)
            if planned.is_shown(values):
                findings += checker.check(placement.place(planned, values))
                findings += find_left_out_photos(planned, values, sources)
        return [*findings, *check_codes(checker.codes, checker.canvas)]

    def _references(self, values: Mapping[str, str]) -> Iterator[tuple[Layer, str, str]]:
        """Yield the references of the visible layers, with the message about it if it is required."""
        for planned, row in (each for layer in self._layers for each in layer.for_row(values).walk(values)):
            layer = planned.layer
            if isinstance(layer, ImageLayer):
                yield layer, planned.content(row).strip(), _IMAGE_MISSING if layer.missing == "fail" else ""
                if layer.missing == "fallback":
                    yield layer, layer.fallback, ""
            elif isinstance(layer, TextLayer):
                yield from ((layer, font, _FONT_MISSING) for font in layer.fonts() if font not in FAMILIES)

    def _placement(self, sources: LoadedSources, check_time: CheckTime) -> Placement:
        def fit(layer: TextLayer, texts: Sequence[str], width: int, height: int) -> FittedText:
            check_time()  # a stack fits each of its texts several times
            return self._renderer.fit_text(layer, texts, width, height, sources)

        return Placement(self.width, self.height, sources, fit)

    def _render_base(self, values: Mapping[str, str], sources: LoadedSources, check_time: CheckTime) -> Composition:
        base = self._blend(render_background(self._canvas), self._base_layers, values, sources, check_time)
        if self._base_box:
            for patch in self._renderer.render_box(self._base_box.layer, self._window).patches:
                blend_patch(base.pixels, patch, has_alpha=base.has_alpha)
        return base

    def _blend(
        self,
        below: Composition,
        layers: Iterable[PlannedLayer],
        values: Mapping[str, str],
        sources: LoadedSources,
        check_time: CheckTime,
    ) -> Composition:
        """Render the layers that a row shows onto a composition. Raises RenderTimeoutError after the deadline."""
        findings, codes = list(below.findings), list(below.codes)
        placement = self._placement(sources, check_time)
        for planned in layers:
            if not planned.is_shown(values):
                continue
            rendering = self._renderer.render(placement.place(planned, values), sources, self._window, check_time)
            findings += [*rendering.findings, *find_left_out_photos(planned, values, sources)]
            codes += rendering.codes
            box = self._renderer.render_box(planned.layer, self._window) if planned is self._base_box else Rendering()
            in_base = len(box.patches)
            for patch in rendering.patches[in_base:]:
                blend_patch(below.pixels, patch, has_alpha=below.has_alpha)
            check_time()
        return replace(below, findings=tuple(findings), codes=tuple(codes))


def _is_on_face(planned: PlannedLayer) -> bool:
    """Return whether the faces in a photo decide how it is cropped."""
    return isinstance(planned.layer, ImageLayer) and planned.layer.focus == "face"


def _start_clock() -> CheckTime:
    """Return a function that raises RenderTimeoutError once an image has taken too long."""
    deadline = time.monotonic() + RENDER_SECONDS

    def check_time() -> None:
        if time.monotonic() > deadline:
            raise RenderTimeoutError(
                gettext_lazy("The image takes longer than %(max)s seconds to render", max=f"{RENDER_SECONDS:.0f}")
            )

    return check_time


_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _digest(value: object) -> str:
    return sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()
