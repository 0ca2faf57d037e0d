"""A template document becomes a plan; a plan and a row's values become a picture.

What does not depend on the row is drawn once: the lowest static layers as the plan's base, each static layer above a
changing one as a patch. A row then copies the base and touches only the rectangles of its own layers.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from threading import Lock

import cachetools
import pyvips

from cwz_web.imaging.canvas import Patch, Pixels, blank, lay, parse_colour
from cwz_web.imaging.documents import ImageLayer, ImageTemplate, Layer, ShapeLayer, TextLayer
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.errors import BadPicture, SourceMissing, UnknownColumns
from cwz_web.imaging.pictures import FittedPictures, Source, placeholder
from cwz_web.imaging.shapes import draw_shape
from cwz_web.imaging.text import draw_text

# Grows whenever the same inputs would give other pixels, so that no old picture is taken for a new one.
ENGINE_VERSION = f"1/{pyvips.version(0)}.{pyvips.version(1)}"

# Loads the picture that a reference names: a URL or `original:<sha256>`. Raises SourceMissing.
LoadSource = Callable[[str], Source]
# The references that a picture shows, with what was found there: the source, or why there is none.
Sources = Mapping[str, Source | SourceMissing]


@dataclass(frozen=True)
class Rendered:
    """A finished picture. `digest` is the SHA-256 of everything that it was made of."""

    data: bytes
    digest: str
    width: int
    height: int
    output: Output


class Engine:
    """Makes plans and keeps them. One a process; safe to use from several threads.

    Arguments:
        picture_cache_bytes: memory for decoded pictures.
        plans: how many templates are kept ready.
    """

    def __init__(self, picture_cache_bytes: int = 256 * 1024 * 1024, plans: int = 64) -> None:
        self._pictures = FittedPictures(picture_cache_bytes)
        self._plans: cachetools.LRUCache[str, Plan] = cachetools.LRUCache(plans)
        self._lock = Lock()

    def plan(self, template: ImageTemplate) -> "Plan":
        """The plan of a template, made once."""
        digest = _digest(template.canonical())
        with self._lock:
            plan = self._plans.get(digest)
            if plan is None:
                plan = self._plans[digest] = Plan(template, digest, self._pictures)
        return plan


class Plan:
    """A template, ready to draw."""

    def __init__(self, template: ImageTemplate, digest: str, pictures: FittedPictures) -> None:
        self.template = template
        self.digest = digest
        self._pictures = pictures
        self._defaults = {column.name: column.default for column in template.columns}
        self._used = frozenset[str]().union(*(layer.columns() for layer in template.layers))
        changing = [bool(layer.columns()) for layer in template.layers]
        first = changing.index(True) if True in changing else len(changing)
        self._below, self._above = template.layers[:first], template.layers[first:]
        self._static: dict[tuple[str, str], Patch | None] = {}
        self._bases: cachetools.LRUCache[tuple[str, ...], Pixels] = cachetools.LRUCache(2)

    @cached_property
    def columns(self) -> list[str]:
        """The template's columns, in its order."""
        return list(self._defaults)

    def values(self, data: Mapping[str, str]) -> dict[str, str]:
        """A row's values, with the template's defaults for columns that it does not name. Raises UnknownColumns."""
        unknown = sorted(set(data) - set(self._defaults))
        if unknown:
            raise UnknownColumns(unknown, self.columns)
        return {**self._defaults, **data}

    def load(self, values: Mapping[str, str], load: LoadSource) -> dict[str, Source | SourceMissing]:
        """Load every picture that the row shows. Raises SourceMissing for one that a layer can not do without."""
        found: dict[str, Source | SourceMissing] = {}
        for layer in self.template.layers:
            if not isinstance(layer, ImageLayer) or not _is_shown(layer, values):
                continue
            reference = layer.bound_source().resolve(values).strip()
            if reference not in found:
                try:
                    found[reference] = load(reference)
                except SourceMissing as missing:
                    found[reference] = missing
            result = found[reference]
            if isinstance(result, SourceMissing) and layer.missing == "fail":
                raise SourceMissing(f"The picture of the layer “{layer.name}” is missing: {result}")
        return found

    def picture_digest(self, values: Mapping[str, str], sources: Sources, output: Output) -> str:
        """The name of the picture: it is the same exactly when everything that the picture is made of is."""
        used = {name: values[name] for name in self._used}
        digests = {key: found.digest if isinstance(found, Source) else None for key, found in sources.items()}
        return _digest([ENGINE_VERSION, self.digest, used, digests, output.model_dump(mode="json")])

    def render(self, values: Mapping[str, str], sources: Sources, output: Output) -> Rendered:
        """Draw and encode the picture of a row. Raises BadPicture for a source that a layer can not do without."""
        pixels = self.draw(values, sources)
        digest = self.picture_digest(values, sources, output)
        canvas = self.template.canvas
        return Rendered(encode(pixels, output), digest, canvas.width, canvas.height, output)

    def draw(self, values: Mapping[str, str], sources: Sources) -> Pixels:
        """The pixels of a row's picture."""
        canvas = self._base(sources).copy()
        for layer in self._above:
            if _is_shown(layer, values):
                patch = self._patch(layer, values, sources)
                if patch is not None:
                    lay(canvas, patch)
        return canvas

    def _base(self, sources: Sources) -> Pixels:
        """The canvas with the static layers below every changing one, kept for the sources it was drawn with."""
        key = tuple(_state(layer, sources) for layer in self._below)
        base = self._bases.get(key)
        if base is None:
            size = self.template.canvas
            base = blank(size.width, size.height, parse_colour(size.background)[0])
            for layer in self._below:
                patch = self._draw_layer(layer, self._defaults, sources)
                if patch is not None:
                    lay(base, patch)
            self._bases[key] = base
        return base

    def _patch(self, layer: Layer, values: Mapping[str, str], sources: Sources) -> Patch | None:
        if layer.content_columns():
            return self._draw_layer(layer, values, sources)
        key = (layer.name, _state(layer, sources))
        if key not in self._static:
            self._static[key] = self._draw_layer(layer, self._defaults, sources)
        return self._static[key]

    def _draw_layer(self, layer: Layer, values: Mapping[str, str], sources: Sources) -> Patch | None:
        match layer:
            case ShapeLayer():
                return draw_shape(layer)
            case TextLayer():
                return draw_text(layer, layer.bound_text().resolve(values))
            case ImageLayer():
                return self._draw_image(layer, sources[layer.bound_source().resolve(values).strip()])
        raise AssertionError(layer)

    def _draw_image(self, layer: ImageLayer, source: Source | SourceMissing) -> Patch | None:
        if isinstance(source, Source):
            try:
                return self._pictures.fit(layer, source)
            except BadPicture as bad:
                if layer.missing == "fail":
                    raise BadPicture(f"The picture of the layer “{layer.name}” can not be used: {bad}") from None
        return placeholder(layer) if layer.missing == "placeholder" else None


def _is_shown(layer: Layer, values: Mapping[str, str]) -> bool:
    return layer.show_if is None or bool(values[layer.show_if].strip())


def _state(layer: Layer, sources: Sources) -> str:
    """What a static layer depends on beyond the document: the picture that was found for it."""
    if not isinstance(layer, ImageLayer):
        return ""
    found = sources[layer.bound_source().resolve({}).strip()]
    return found.digest if isinstance(found, Source) else "missing"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
