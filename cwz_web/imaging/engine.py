"""A template document becomes a plan; a plan and a row's values become an image.

What does not depend on the row is rendered once: the lowest static layers as the plan's base, each static layer above a
changing one as a few patches. A row then copies the base and touches only the rectangles of its own layers.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from threading import Lock

import cachetools
import pyvips

from cwz_web.imaging.barcodes import render_code
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.compositing import Patch, Pixels, blank, lay, parse_color
from cwz_web.imaging.decoding import FittedImages, Source
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.effects import finish
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
from cwz_web.imaging.filters import parse_number
from cwz_web.imaging.fonts import FAMILIES, fonts_version, use_font
from cwz_web.imaging.layers import CodeLayer, Condition, ImageLayer, Layer, RatingLayer, ShapeLayer, TextLayer
from cwz_web.imaging.lint import ENLARGED, Check, Finding, contrast_finding, text_findings
from cwz_web.imaging.shapes import (
    elliptic_mask,
    render_box,
    render_placeholder,
    render_rating,
    render_shape,
    rounded_mask,
)
from cwz_web.imaging.text import Typeface, render_text

# The first number grows whenever the same inputs would give other pixels: no old image is taken for a new one.
ENGINE_VERSION = f"3/{pyvips.version(0)}.{pyvips.version(1)}/{version('simplejpeg')}/{version('isal')}"
MAX_PIXELS = 25_000_000
MAX_SOURCE_BYTES = 100 * 1024 * 1024
RENDER_SECONDS = 20.0

# Loads the image or the font that a reference names: a URL or `upload:<sha256>`. Raises SourceMissingError.
LoadSource = Callable[[str], Source]
# The references that an image shows, with what was found there: the source, or why there is none.
LoadedSources = Mapping[str, Source | SourceMissingError]


def nothing() -> None:
    """What is done when nothing is to be done."""


@dataclass(frozen=True)
class _Rendering:
    """A layer, rendered: its patches, and what should be looked at."""

    patches: tuple[Patch, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def nbytes(self) -> int:
        """How much memory the patches hold."""
        return sum(patch.nbytes for patch in self.patches)


class Engine:
    """Makes plans and keeps them. One a process; safe to use from several threads.

    Arguments:
        memory: bytes for each of three: decoded images, the bases of templates, and their static layers above.
        plans: how many templates are kept ready.
    """

    def __init__(self, memory: int = 128 * 1024 * 1024, plans: int = 64) -> None:
        self._images = FittedImages(memory)
        self._bases: ByteCache[Pixels] = ByteCache(memory)
        self._layers_rendered: ByteCache[_Rendering] = ByteCache(memory)
        self._plans: cachetools.LRUCache[str, Plan] = cachetools.LRUCache(plans)
        # The plan of a document that is the very same object: to tell that by its content takes longer than a question.
        self._asked: cachetools.LRUCache[tuple[int, str, int], tuple[ImageTemplate, Plan]] = cachetools.LRUCache(plans)
        self._lock = Lock()

    def plan(self, template: ImageTemplate, size: str = DEFAULT_SIZE, scale: int = 1) -> "Plan":
        """The plan of a template, made once.

        Arguments:
            size: the name of one of its formats.
            scale: how many pixels of the image a pixel of the canvas becomes.
        Raises UnknownSizeError, and ImageTooLargeError.
        """
        asked = (id(template), size, scale)
        with self._lock:
            known = self._asked.get(asked)
        if known is not None and known[0] is template:
            return known[1]
        whole = template
        try:
            template = template.in_size(size)
        except KeyError:
            raise UnknownSizeError(size, template.size_names) from None
        if template.canvas.width * template.canvas.height * scale**2 > MAX_PIXELS:
            raise ImageTooLargeError(
                f"The image would have more than {MAX_PIXELS // 10**6} million pixels; use a smaller scale"
            )
        digest = _digest([template.canonical(), scale])
        with self._lock:
            plan = self._plans.get(digest)
            if plan is None:
                plan = self._plans[digest] = Plan(
                    template.scaled(scale),
                    digest,
                    whole.model_dump_json(),
                    self._images,
                    self._bases,
                    self._layers_rendered,
                )
            self._asked[asked] = (whole, plan)
        return plan


class Plan:
    """A template, ready to render. Made by the engine, which lends it its memory.

    `template` is what is rendered, in its format and scale; `document` all of the template, as JSON.
    """

    def __init__(
        self,
        template: ImageTemplate,
        digest: str,
        document: str,
        images: FittedImages,
        bases: ByteCache[Pixels],
        layers_rendered: "ByteCache[_Rendering]",
    ) -> None:
        self.template = template
        self.digest = digest
        self.document = document
        self._images, self._bases, self._layers_rendered = images, bases, layers_rendered
        self._defaults = {field.name: field.default for field in template.fields}
        self._layers = tuple(layer for layer in template.layers if not layer.hidden)
        self._used = frozenset[str]().union(*(layer.fields() for layer in self._layers))
        changing = [bool(layer.fields()) for layer in self._layers]
        first = changing.index(True) if True in changing else len(changing)
        self._below, self._above = self._layers[:first], self._layers[first:]

    @cached_property
    def fields(self) -> list[str]:
        """The names of the template's fields, in its order."""
        return list(self._defaults)

    def values(self, data: Mapping[str, str]) -> dict[str, str]:
        """Complete a row with the defaults of the fields that it does not name. Raises UnknownFieldsError."""
        unknown = sorted(set(data) - set(self._defaults))
        if unknown:
            raise UnknownFieldsError(unknown, self.fields)
        return {**self._defaults, **data}

    def load(self, values: Mapping[str, str], load: LoadSource) -> dict[str, Source | SourceMissingError]:
        """Load every image and font that the row shows.

        Raises SourceMissingError for one that a layer cannot do without, and ImageTooLargeError when they are too much together.
        """
        found: dict[str, Source | SourceMissingError] = {}
        for layer, reference, needed in self._references(values):
            if reference not in found:
                try:
                    found[reference] = load(reference)
                except SourceMissingError as missing:
                    found[reference] = missing
            result = found[reference]
            if isinstance(result, SourceMissingError) and needed:
                raise SourceMissingError(f"The {needed} of the layer “{layer.name}” is missing: {result}")
        if sum(len(source.data) for source in found.values() if isinstance(source, Source)) > MAX_SOURCE_BYTES:
            raise ImageTooLargeError(f"The images of this row have more than {MAX_SOURCE_BYTES // 1024**2} MB together")
        return found

    def image_digest(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> str:
        """The name of the image: it is the same exactly when everything that the image is made of is."""
        used = {name: values[name] for name in self._used}
        digests = {key: found.digest if isinstance(found, Source) else None for key, found in sources.items()}
        engine = [ENGINE_VERSION, fonts_version()]
        # The size is in the plan already.
        written = output.model_dump(mode="json", exclude={"size"})
        return _digest([engine, self.digest, used, digests, written])

    def render(
        self,
        values: Mapping[str, str],
        sources: LoadedSources,
        output: Output,
        rendered: Callable[[], object] = nothing,
    ) -> bytes:
        """The file of a row's image, rendered and encoded. Raises ImagingError for what cannot be rendered.

        Arguments:
            rendered: called between the two.
        """
        pixels = self.compose(values, sources)
        rendered()
        return encode(pixels, output)

    def compose(self, values: Mapping[str, str], sources: LoadedSources) -> Pixels:
        """The pixels of a row's image. Raises ImagingError."""
        ends = time.monotonic() + RENDER_SECONDS
        above = [layer for layer in self._above if _is_shown(layer, values)]
        key = (self.digest, *(self._state(layer, sources) for layer in self._below))
        base = self._bases.get(key)
        renderings: Iterable[_Rendering]
        if base is None:
            # The first time all layers are rendered side by side: to decode one photo takes as long as all the rest.
            with ThreadPoolExecutor(2) as pool:
                all_renderings = pool.map(lambda layer: self._rendering(layer, values, sources), [*self._below, *above])
                base = self._bases.keep(key, self._laid(itertools.islice(all_renderings, len(self._below))))
                renderings = list(all_renderings)
        else:
            renderings = (self._rendering(layer, values, sources) for layer in above)
        canvas = base.copy()
        for rendering in renderings:
            for patch in rendering.patches:
                lay(canvas, patch)
            if time.monotonic() > ends:
                raise RenderTimeoutError(f"The image takes longer than {RENDER_SECONDS:.0f} seconds")
        return canvas

    def lint(self, values: Mapping[str, str], sources: LoadedSources) -> list[Finding]:
        """What somebody should look at in a row's image, from the lowest layer to the highest."""
        findings: list[Finding] = []
        canvas = self._blank()
        for layer in self._layers:
            if not _is_shown(layer, values):
                continue
            try:
                rendering = self._rendering(layer, values, sources)
            except InvalidBarcodeError as error:
                findings.append(Finding(layer.name, Check.BAD_CODE, f"cannot be rendered: {error.reason}"))
                continue
            except (InvalidImageError, InvalidFontError) as error:
                findings.append(Finding(layer.name, Check.DEAD_IMAGE, f"cannot be rendered: {error}"))
                continue
            findings += rendering.findings
            if isinstance(layer, TextLayer) and rendering.patches and not layer.stroke:
                findings += self._contrast(layer, values, sources, canvas)
            for patch in rendering.patches:
                lay(canvas, patch)
        return findings

    def _contrast(
        self, layer: TextLayer, values: Mapping[str, str], sources: LoadedSources, canvas: Pixels
    ) -> Iterator[Finding]:
        lettering = render_text(layer, layer.bound().resolve(values), _typeface(layer, sources))
        *box, letters = lettering.patches
        under = canvas.copy() if box else canvas
        for patch in box:
            lay(under, patch)
        finding = contrast_finding(layer, lettering.size, letters, under)
        if finding:
            yield finding

    def _references(self, values: Mapping[str, str]) -> Iterator[tuple[Layer, str, str]]:
        """The images and fonts of the layers that are shown; the last word says what cannot be done without."""
        for layer in self._layers:
            if not _is_shown(layer, values):
                continue
            if isinstance(layer, ImageLayer):
                yield layer, layer.bound().resolve(values).strip(), "image" if layer.missing == "fail" else ""
                if layer.missing == "fallback":
                    yield layer, layer.fallback, ""
            elif isinstance(layer, TextLayer) and layer.font not in FAMILIES:
                yield layer, layer.font, "font"

    def _laid(self, renderings: Iterable[_Rendering]) -> Pixels:
        """The canvas with the static layers below every changing one."""
        base = self._blank()
        for rendering in renderings:
            for patch in rendering.patches:
                lay(base, patch)
        return base

    def _blank(self) -> Pixels:
        canvas = self.template.canvas
        if isinstance(canvas.background, str):
            return blank(canvas.width, canvas.height, parse_color(canvas.background)[0])
        pixels = blank(canvas.width, canvas.height, (255, 255, 255))
        lay(pixels, render_box(0, 0, canvas.width, canvas.height, canvas.background))
        return pixels

    def _rendering(self, layer: Layer, values: Mapping[str, str], sources: LoadedSources) -> _Rendering:
        if layer.content_fields():
            return self._render_layer(layer, values, sources)
        key = (self.digest, layer.name, self._state(layer, sources))
        return self._layers_rendered.get(key) or self._layers_rendered.keep(
            key, self._render_layer(layer, self._defaults, sources)
        )

    def _state(self, layer: Layer, sources: LoadedSources) -> str:
        """What a static layer depends on beyond the document: the image that was found for it."""
        if not isinstance(layer, ImageLayer):
            return ""
        found = sources[layer.bound().resolve(self._defaults).strip()]
        return found.digest if isinstance(found, Source) else "missing"

    def _render_layer(self, layer: Layer, values: Mapping[str, str], sources: LoadedSources) -> _Rendering:
        bound = layer.bound()
        content = bound.resolve(values) if bound else ""
        match layer:
            case ShapeLayer():
                rendering = _Rendering((render_shape(layer),))
            case TextLayer():
                lettering = render_text(layer, content, _typeface(layer, sources))
                rendering = _Rendering(lettering.patches, text_findings(layer, lettering.cut, lettering.missing))
            case ImageLayer():
                rendering = self._render_image(layer, content.strip(), sources)
            case CodeLayer():
                rendering = _render_code(layer, content)
            case RatingLayer():
                rendering = _render_rating(layer, content)
            case _:
                raise AssertionError(layer)
        return _Rendering(tuple(finish(layer, rendering.patches)), rendering.findings)

    def _render_image(self, layer: ImageLayer, reference: str, sources: LoadedSources) -> _Rendering:
        place = (layer.left, layer.top, layer.width, layer.height)
        patches: list[Patch] = [render_box(*place, layer.background)] if layer.background else []
        findings = []
        try:
            image = self._images.fit(layer, _present(sources[reference]))
        except (InvalidImageError, SourceMissingError) as bad:
            reason = str(bad)[:1].lower() + str(bad)[1:]
            findings.append(Finding(layer.name, Check.DEAD_IMAGE, f"has no image: {reason}"))
            match layer.missing:
                case "fail":
                    raise InvalidImageError(f"The image of the layer “{layer.name}” cannot be used: {bad}") from None
                case "skip":
                    return _Rendering((), tuple(findings))
                case "placeholder":
                    patches.append(render_placeholder(*place, layer.placeholder))
                case "fallback":
                    patches.append(self._fallback(layer, sources))
        else:
            patches.append(image.patch.moved(layer.left, layer.top))
            if image.enlarged > ENLARGED:
                message = f"is shown {image.enlarged:.1f} times as large as it is, and will look soft"
                findings.append(Finding(layer.name, Check.UPSCALED, message))
        patches = [_clip(layer, patch) for patch in patches]
        if layer.border:
            radius = min(layer.width, layer.height) / 2 if layer.mask == "circle" else layer.radius
            patches.append(render_box(*place, None, radius, layer.border))
        return _Rendering(tuple(patches), tuple(findings))

    def _fallback(self, layer: ImageLayer, sources: LoadedSources) -> Patch:
        try:
            return self._images.fit(layer, _present(sources[layer.fallback])).patch.moved(layer.left, layer.top)
        except (InvalidImageError, SourceMissingError):
            return render_placeholder(layer.left, layer.top, layer.width, layer.height, layer.placeholder)


def _render_code(layer: CodeLayer, content: str) -> _Rendering:
    try:
        bars = render_code(layer, content)
    except InvalidBarcodeError as error:
        raise InvalidBarcodeError(
            f"The code of the layer “{layer.name}” cannot be rendered: {error}", str(error)
        ) from None
    if bars is None:
        return _Rendering()
    box = (layer.left, layer.top, layer.width, layer.height, layer.background, layer.radius, layer.border)
    return _Rendering((render_box(*box), bars))


def _render_rating(layer: RatingLayer, content: str) -> _Rendering:
    value = parse_number(content)
    if value is not None:
        return _Rendering((render_rating(layer, float(value)),))
    if not content.strip():
        return _Rendering()
    return _Rendering((), (Finding(layer.name, Check.NO_NUMBER, f"has no number in “{content[:40]}”"),))


def _clip(layer: ImageLayer, patch: Patch) -> Patch:
    """What the layer's mask and corners leave of a patch."""
    height, width = patch.shape
    if layer.mask == "circle":
        return patch.clipped(elliptic_mask(width, height))
    return patch.clipped(rounded_mask(width, height, layer.radius)) if layer.radius else patch


def _typeface(layer: TextLayer, sources: LoadedSources) -> Typeface:
    if layer.font in FAMILIES:
        return Typeface(layer.font)
    source = _present(sources[layer.font])
    return Typeface(*use_font(source.data, source.digest))


def _present(found: Source | SourceMissingError) -> Source:
    if isinstance(found, SourceMissingError):
        raise found
    return found


def _is_shown(layer: Layer, values: Mapping[str, str]) -> bool:
    return layer.show_if is None or _holds(layer.show_if, values[layer.show_if.field].strip())


def _holds(condition: Condition, text: str) -> bool:
    wanted = condition.value.strip()
    match condition.test:
        case "filled":
            return bool(text)
        case "empty":
            return not text
        case "equal":
            return text.casefold() == wanted.casefold()
        case "different":
            return text.casefold() != wanted.casefold()
        case "contains":
            return wanted.casefold() in text.casefold()
    number, other = parse_number(text), parse_number(wanted)
    if number is None or other is None:
        return False
    return number > other if condition.test == "more" else number < other


_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _digest(value: object) -> str:
    return sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()
