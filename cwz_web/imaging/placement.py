"""Placement: where the layers of a row are, before they are rendered.

Layers of the canvas and of groups have positions of their own; a stack measures its layers and gives each its room, by
the rules of `layout.py`. A text is fitted while it is measured, and is not fitted again to be rendered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeGuard

from cwz_web.imaging.decoding import Source, read_image_size
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.errors import InvalidImageError, SourceMissingError
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import Container, GroupLayer, ImageLayer, StackLayer
from cwz_web.imaging.layout import Flex, align, arrange, break_rows, distribute
from cwz_web.imaging.pins import pin_layer
from cwz_web.imaging.planned_layers import PlannedLayer, photo_missing
from cwz_web.imaging.text_fitting import FittedText
from cwz_web.imaging.text_layers import TextLayer

# The sources of an image by reference, with the error in the place of each one that is missing.
LoadedSources = Mapping[str, Source | SourceMissingError]
# Fits the content of a text layer into a width and a height in pixels.
FitText = Callable[[TextLayer, Sequence[str], int, int], FittedText]

WIDTH, HEIGHT = "width", "height"
# The side along a stack and the side across it.
SIDES = {"row": (WIDTH, HEIGHT), "column": (HEIGHT, WIDTH)}


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of a row at its place.

    Attributes:
        planned: the layer with its parsed content.
        layer: the layer with its box in pixels of the canvas.
        values: the values of the row, and of the entry if the layer is repeated.
        text: the fitted text of a layer that was measured.
        children: the layers in a container, in their order.
        overflow: by how many pixels the layers of a stack exceed its room.
        mask: the layer that decides how far this one is shown; None if there is none, or the row hides it.
    """

    planned: PlannedLayer
    layer: Layer
    values: Mapping[str, str]
    text: FittedText | None = None
    children: tuple["PlacedLayer", ...] = ()
    overflow: int = 0
    mask: "PlacedLayer | None" = None

    def walk(self) -> Iterator["PlacedLayer"]:
        """Yield the layer, its mask and all layers in it, each container before its content."""
        yield self
        if self.mask:
            yield from self.mask.walk()
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class _Room:
    """The width and the height that a layer can have at most, in pixels; the sides in `exact` are those that it has."""

    width: int
    height: int
    exact: frozenset[str] = frozenset()

    def of(self, side: str) -> int:
        """Return the width or the height."""
        return self.width if side == WIDTH else self.height

    def limited(self, side: str, length: int, *, is_exact: bool) -> "_Room":
        """Return the room with another length of one side."""
        exact = self.exact | {side} if is_exact else self.exact - {side}
        width, height = (length, self.height) if side == WIDTH else (self.width, length)
        return _Room(max(width, 1), max(height, 1), exact)


@dataclass(frozen=True)
class _Measured:
    """A layer with its size in pixels. Positions of children and mask are relative to its upper left corner."""

    planned: PlannedLayer
    layer: Layer
    values: Mapping[str, str]
    width: int
    height: int
    text: FittedText | None = None
    children: tuple[tuple[int, int, "_Measured"], ...] = ()
    overflow: int = 0
    mask: tuple[int, int, "_Measured"] | None = None

    def of(self, side: str) -> int:
        """Return the width or the height."""
        return self.width if side == WIDTH else self.height

    @property
    def baseline(self) -> int:
        """The distance of the first baseline of a text from the upper edge; the height of any other layer."""
        if self.text is None or not isinstance(self.layer, TextLayer):
            return self.height
        return self.layer.padding + self.text.baseline

    def at(self, left: int, top: int) -> PlacedLayer:
        """Return the layer at a position of the canvas."""
        box = {"x": left, "y": top, "width": self.width, "height": self.height, "anchor": "top-left"}
        children = tuple(child.at(left + x, top + y) for x, y, child in self.children)
        layer = self.layer.model_copy(update=box)
        mask = self.mask[2].at(left + self.mask[0], top + self.mask[1]) if self.mask else None
        return PlacedLayer(self.planned, layer, self.values, self.text, children, self.overflow, mask)


class Placement:
    """Places the layers of one row.

    Args:
        width: the width of the canvas in pixels.
        height: its height in pixels.
        sources: the images and fonts of the row.
        fit_text: fits a text into a width and a height.
    """

    def __init__(self, width: int, height: int, sources: LoadedSources, fit_text: FitText) -> None:
        self._canvas, self._sources, self._fit_text = _Room(width, height), sources, fit_text

    def place(self, planned: PlannedLayer, values: Mapping[str, str]) -> PlacedLayer:
        """Return a layer of the canvas at its place."""
        layer = planned.layer
        mask = self.place(planned.mask, values) if planned.mask and planned.mask.is_shown(values) else None
        if not isinstance(layer, Container) and layer.sizing.width == layer.sizing.height == "fixed":
            return PlacedLayer(planned, layer, values, mask=mask)
        left, top, measured = self._measure_free(planned, layer, values, self._canvas)
        return replace(measured.at(left, top), mask=mask)

    def _measure_free(
        self, planned: PlannedLayer, layer: Layer, values: Mapping[str, str], parent: _Room
    ) -> tuple[int, int, _Measured]:
        """Measure a layer that has a position of its own; return the position of its box."""
        measured = self._measure(planned, layer, values, _own_room(layer, parent))
        resized = layer.model_copy(update={"width": measured.width, "height": measured.height})
        return resized.left, resized.top, measured

    def _measure(self, planned: PlannedLayer, layer: Layer, values: Mapping[str, str], room: _Room) -> _Measured:
        match layer:
            case StackLayer():
                return self._measure_stack(planned, layer, values, room)
            case GroupLayer():
                return self._measure_group(planned, layer, values, room)
            case TextLayer():
                return self._measure_text(planned, layer, values, room)
            case ImageLayer():
                return _Measured(planned, layer, values, *self._image_size(planned, layer, values, room))
        return _Measured(planned, layer, values, *_own_size(layer, room))

    def _measure_text(
        self, planned: PlannedLayer, layer: TextLayer, values: Mapping[str, str], room: _Room
    ) -> _Measured:
        text = self._fit_text(layer, planned.texts(values), room.width, room.height)
        width = _within(layer, WIDTH, text.natural_width + 2 * layer.padding, room)
        height = _within(layer, HEIGHT, ceil(text.height) + 2 * layer.padding, room)
        return _Measured(planned, layer, values, width, height, text)

    def _image_size(
        self, planned: PlannedLayer, layer: ImageLayer, values: Mapping[str, str], room: _Room
    ) -> tuple[int, int]:
        """Return the size of an image, whose missing side follows from its aspect ratio."""
        width, height = _own_size(layer, room)
        source = _source_of(planned, values, self._sources)
        hugging = [side for side in (WIDTH, HEIGHT) if getattr(layer.sizing, side) == "hug" and side not in room.exact]
        if not hugging or not isinstance(source, Source):
            return width, height
        try:
            full_width, full_height = read_image_size(source.data)
        except InvalidImageError:
            return width, height
        if hugging == [WIDTH]:
            return _within(layer, WIDTH, round(full_width * height / full_height), room), height
        if hugging == [HEIGHT]:
            return width, _within(layer, HEIGHT, round(full_height * width / full_width), room)
        ratio = min(room.width / full_width, room.height / full_height, 1)
        return max(round(full_width * ratio), 1), max(round(full_height * ratio), 1)

    def _measure_group(
        self, planned: PlannedLayer, layer: GroupLayer, values: Mapping[str, str], room: _Room
    ) -> _Measured:
        """Measure a group. Its layers follow its size by their pins."""
        designed, (width, height) = (layer.width, layer.height), _own_size(layer, room)

        def measure(child: PlannedLayer) -> tuple[int, int, _Measured]:
            pinned = pin_layer(child.layer, designed, (width, height))
            left, top, measured = self._measure_free(child, pinned, values, _Room(width, height))
            if child.mask is None or not child.mask.is_shown(values):
                return left, top, measured
            x, y, mask = measure(child.mask)
            return left, top, replace(measured, mask=(x - left, y - top, mask))

        children = [measure(child) for child in planned.children if child.is_shown(values)]
        return _Measured(planned, layer, values, width, height, children=tuple(children))

    def _measure_stack(
        self, planned: PlannedLayer, layer: StackLayer, values: Mapping[str, str], room: _Room
    ) -> _Measured:
        main, cross = SIDES[layer.direction]
        inner = _Room(max(room.width - 2 * layer.padding, 1), max(room.height - 2 * layer.padding, 1), room.exact)
        children = [self._measure_child(layer, child, each, inner) for child, each in self._shown(planned, values)]
        rows = break_rows(inner.of(main), [each.of(main) for each in children], layer.gap) if layer.wrap else None
        lines = [
            self._fit_line(layer, [children[at] for at in row], inner, is_only=rows is None)
            for row in rows or [list(range(len(children)))]
            if children
        ]
        content = max((_length(layer, line) for line in lines), default=0), _across(layer, lines)
        sizes = {
            side: _within(layer, side, length + 2 * layer.padding, room)
            for side, length in zip((main, cross), content, strict=True)
        }
        placed = list(_place_lines(layer, lines, sizes[main] - 2 * layer.padding, sizes[cross] - 2 * layer.padding))
        if layer.mirror == "always":
            placed = [(sizes[WIDTH] - x - child.width, y, child) for x, y, child in placed]
        excess = [length - inner.of(side) for side, length in zip((main, cross), content, strict=True)]
        return _Measured(
            planned, layer, values, sizes[WIDTH], sizes[HEIGHT], None, tuple(placed), max(0, *excess) if children else 0
        )

    def _measure_child(
        self, stack: StackLayer, planned: PlannedLayer, values: Mapping[str, str], inner: _Room
    ) -> _Measured:
        """Measure a layer of a stack before the room is distributed. One that fills it has its least length."""
        main, cross = SIDES[stack.direction]
        layer = planned.layer
        room = _own_room(layer, inner)
        if _stretches(stack, layer, cross):
            is_exact = cross in inner.exact and not stack.wrap
            room = room.limited(cross, _at_most(layer, cross, inner.of(cross)), is_exact=is_exact)
        if getattr(layer.sizing, main) == "fill" and main in inner.exact:
            least = getattr(layer.sizing, f"min_{main}") or 0
            size = {main: least, cross: room.of(cross) if cross in room.exact else 0}
            return _Measured(planned, layer, values, size[WIDTH], size[HEIGHT])
        return self._measure(planned, layer, values, room)

    def _fit_line(
        self, stack: StackLayer, line: Sequence[_Measured], inner: _Room, *, is_only: bool
    ) -> list[_Measured]:
        """Give the layers of a line their share of the room, and those that stretch the height or width of the line."""
        main, cross = SIDES[stack.direction]
        room = inner.of(main) - stack.gap * (len(line) - 1)
        grows = main in inner.exact
        lengths = distribute(room, [_flex(child, main, grows=grows) for child in line])
        fitted = [
            child
            if child.of(main) == length and not (grows and getattr(child.layer.sizing, main) == "fill")
            else self._measure_exactly(child, main, length, inner, cross)
            for child, length in zip(line, lengths, strict=True)
        ]
        depth = inner.of(cross) if is_only and cross in inner.exact else max(child.of(cross) for child in fitted)
        return [self._stretch(stack, child, main, cross, depth) for child in fitted]

    def _measure_exactly(self, child: _Measured, main: str, length: int, inner: _Room, cross: str) -> _Measured:
        layer = child.layer
        room = _own_room(layer, inner).limited(main, length, is_exact=True)
        if child.of(cross) and getattr(layer.sizing, cross) == "fill":
            room = room.limited(cross, child.of(cross), is_exact=True)
        return self._measure(child.planned, layer, child.values, room)

    def _stretch(self, stack: StackLayer, child: _Measured, main: str, cross: str, depth: int) -> _Measured:
        """Return a layer with the depth of its line, if it fills or stretches."""
        layer = child.layer
        depth = _at_most(layer, cross, depth)
        if not _stretches(stack, layer, cross) or child.of(cross) == depth:
            return child
        sides = {main: child.of(main), cross: depth}
        room = _Room(max(sides[WIDTH], 1), max(sides[HEIGHT], 1), frozenset({WIDTH, HEIGHT}))
        return self._measure(child.planned, layer, child.values, room)

    def _shown(
        self, planned: PlannedLayer, values: Mapping[str, str]
    ) -> Iterator[tuple[PlannedLayer, Mapping[str, str]]]:
        """Yield the layers of a stack that take room: neither hidden nor empty, and once for each entry of its list."""
        for child, each in planned.instances(values):
            if child.is_shown(each) and not self._is_empty(child, each):
                yield child, each

    def _is_empty(self, planned: PlannedLayer, values: Mapping[str, str]) -> bool:
        layer = planned.layer
        if isinstance(layer, StackLayer):
            return next(self._shown(planned, values), None) is None
        if isinstance(layer, GroupLayer):
            return not any(child.is_shown(values) for child in planned.children)
        if isinstance(layer, ImageLayer):
            return layer.missing == "skip" and not isinstance(_source_of(planned, values, self._sources), Source)
        return bool(planned.bound_texts) and not any(text.strip() for text in planned.texts(values))


def find_left_out_photos(planned: PlannedLayer, values: Mapping[str, str], sources: LoadedSources) -> Iterator[Finding]:
    """Yield the photos that a row names, but stacks leave out since they cannot be loaded.

    Such a layer has no place, so that it is not rendered, which would have the finding.

    Args:
        planned: a layer of the canvas that the row shows.
        values: the row.
        sources: the images and fonts of the row.
    """
    # Almost all rows have their photos: reading lists and conditions again takes up to 2% of an image's time.
    if not any(_is_named_and_missing(source) for source in sources.values()):
        return
    for child, each in planned.instances(values):
        if not child.is_shown(each):
            continue
        if isinstance(planned.layer, StackLayer) and isinstance(child.layer, ImageLayer):
            source = _source_of(child, each, sources)
            if child.layer.missing == "skip" and _is_named_and_missing(source):
                yield photo_missing(child.layer, source)
        else:
            yield from find_left_out_photos(child, each, sources)


def _is_named_and_missing(source: Source | SourceMissingError | None) -> TypeGuard[SourceMissingError]:
    """Return whether a row names a photo that cannot be loaded."""
    return isinstance(source, SourceMissingError) and not source.is_unnamed


def _source_of(
    planned: PlannedLayer, values: Mapping[str, str], sources: LoadedSources
) -> Source | SourceMissingError | None:
    """Return the photo of an image layer."""
    return sources.get(planned.content(values).strip())


def _is_flexible(layer: Layer, side: str) -> bool:
    return bool(getattr(layer.sizing, side) != "fixed")


def _stretches(stack: StackLayer, layer: Layer, cross: str) -> bool:
    """Return whether a layer is as wide as its column, or as high as its row."""
    fills = getattr(layer.sizing, cross) == "fill"
    return bool(fills or (stack.align == "stretch" and _is_flexible(layer, cross)))


def _own_room(layer: Layer, parent: _Room) -> _Room:
    """Return the room for a layer: its own size where that is fixed, otherwise at most that of its parent."""
    room = _Room(parent.width, parent.height)
    for side in (WIDTH, HEIGHT):
        if _is_flexible(layer, side):
            room = room.limited(side, _at_most(layer, side, parent.of(side)), is_exact=False)
        else:
            room = room.limited(side, getattr(layer, side), is_exact=True)
    return room


def _own_size(layer: Layer, room: _Room) -> tuple[int, int]:
    """Return the size of a layer whose content has none: what the room demands, or its own within the room."""
    width, height = (
        room.of(side) if side in room.exact else _within(layer, side, getattr(layer, side), room)
        for side in (WIDTH, HEIGHT)
    )
    return width, height


def _at_most(layer: Layer, side: str, length: int) -> int:
    """Return a length within the limits of a layer's sizing."""
    low, high = getattr(layer.sizing, f"min_{side}") or 1, getattr(layer.sizing, f"max_{side}") or MAX_SIDE
    return max(min(length, high), low)


def _within(layer: Layer, side: str, length: int, room: _Room) -> int:
    """Return the length that a layer has in its room, given the length of its content."""
    if side in room.exact:
        return room.of(side)
    return max(min(_at_most(layer, side, length), room.of(side)), 1)


def _flex(child: _Measured, side: str, *, grows: bool) -> Flex:
    """Return what a layer needs along a stack."""
    sizing, length = child.layer.sizing, child.of(side)
    kind = getattr(sizing, side)
    if kind == "fixed":
        return Flex(length, length, length)
    least = min(_minimum(child, side), length)
    if kind == "fill" and grows:
        return Flex(length, length, _at_most(child.layer, side, MAX_SIDE), grows=True)
    return Flex(length, least, length, shrink=sizing.shrink)


def _minimum(child: _Measured, side: str) -> int:
    """Return the length that a measured layer can shrink to: a text in height to one line, a stack with its layers."""
    layer = child.layer
    least: int | None = getattr(layer.sizing, f"min_{side}")
    if least or not _is_flexible(layer, side):
        return least or child.of(side)
    if isinstance(layer, TextLayer) and side == HEIGHT:
        return ceil(min(layer.min_size or layer.size, layer.size) * layer.line_height) + 2 * layer.padding
    if isinstance(layer, StackLayer) and child.children:
        lengths = [_minimum(each, side) for _, _, each in child.children]
        is_main = side == SIDES[layer.direction][0] and not layer.wrap
        content = sum(lengths) + layer.gap * (len(lengths) - 1) if is_main else max(lengths)
        return content + 2 * layer.padding
    return 1


def _length(stack: StackLayer, line: Sequence[_Measured]) -> int:
    """Return the length of a line along the stack, with its gaps."""
    main, _ = SIDES[stack.direction]
    return sum(child.of(main) for child in line) + stack.gap * (len(line) - 1)


def _across(stack: StackLayer, lines: Sequence[Sequence[_Measured]]) -> int:
    """Return the length of lines across the stack, with their gaps."""
    return sum(_depth(stack, line) for line in lines) + stack.gap * max(len(lines) - 1, 0)


def _depth(stack: StackLayer, line: Sequence[_Measured]) -> int:
    """Return the length of a line across the stack."""
    _, cross = SIDES[stack.direction]
    if stack.align == "baseline":
        return max(child.baseline for child in line) + max(child.of(cross) - child.baseline for child in line)
    return max(child.of(cross) for child in line)


def _place_lines(
    stack: StackLayer, lines: Sequence[Sequence[_Measured]], length: int, depth: int
) -> Iterator[tuple[int, int, _Measured]]:
    """Yield the layers of a stack with their positions, relative to its upper left corner.

    Args:
        stack: the stack.
        lines: the layers of each line; only a stack that wraps has several.
        length: the room along the stack, without padding.
        depth: the room across the stack, without padding.
    """
    main, cross = SIDES[stack.direction]
    begin = stack.padding
    for line in lines:
        line_depth = depth if len(lines) == 1 else _depth(stack, line)
        starts = arrange(length, [child.of(main) for child in line], stack.gap, stack.justify)
        baseline = max(child.baseline for child in line)
        for child, start in zip(line, starts, strict=True):
            is_on_baseline = stack.align == "baseline"
            down = baseline - child.baseline if is_on_baseline else align(line_depth, child.of(cross), stack.align)
            along, across = stack.padding + start, begin + down
            yield (along, across, child) if main == WIDTH else (across, along, child)
        begin += line_depth + stack.gap
