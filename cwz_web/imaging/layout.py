"""Distribution of room among the layers of a stack, along one axis, in whole pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from cwz_web.imaging.document_parts import MAX_SIDE

HIGHEST_SHRINK = 9


@dataclass(frozen=True)
class Flex:
    """What a layer needs along one axis, in pixels.

    Attributes:
        basis: the length that it would like to have.
        minimum: the length that it shrinks to at most.
        maximum: the length that it grows to at most.
        grows: whether it takes a share of the free room.
        shrink: layers with a higher number shrink first; 0 never does.
    """

    basis: int
    minimum: int = 0
    maximum: int = MAX_SIDE
    grows: bool = False
    shrink: int = 0


def distribute(room: int, children: Sequence[Flex]) -> list[int]:
    """Return the lengths of layers that share a room.

    Layers that grow get equal lengths as far as their limits allow. Without enough room, layers shrink by the order of
    their numbers, those of one number in proportion to what they can give. The lengths exceed the room only if no
    layer can shrink any more.
    """
    lengths = [child.minimum if child.grows else child.basis for child in children]
    free = room - sum(lengths)
    if free > 0:
        return _grow(room, children, lengths)
    for order in range(HIGHEST_SHRINK, 0, -1):
        if free >= 0:
            break
        given = _split(
            -free,
            [
                max(length - child.minimum, 0) if child.shrink == order else 0
                for child, length in zip(children, lengths, strict=True)
            ],
        )
        lengths = [length - part for length, part in zip(lengths, given, strict=True)]
        free = room - sum(lengths)
    return lengths


def _grow(room: int, children: Sequence[Flex], lengths: list[int]) -> list[int]:
    """Raise the layers that grow to one level, as far as the room and their limits allow."""
    growing = [at for at, child in enumerate(children) if child.grows]
    room -= sum(length for at, length in enumerate(lengths) if at not in growing)

    def at_level(level: int) -> dict[int, int]:
        return {at: max(min(level, children[at].maximum), children[at].minimum) for at in growing}

    low, high = 0, room
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(at_level(middle).values()) <= room else (low, middle - 1)
    level, next_level = at_level(low), at_level(low + 1)
    rest = room - sum(level.values())
    for at in growing:
        if rest and next_level[at] > level[at]:
            level[at] += 1
            rest -= 1
    return [level.get(at, length) for at, length in enumerate(lengths)]


def _split(amount: int, limits: Sequence[int]) -> list[int]:
    """Split an amount in proportion to limits, which no part exceeds."""
    total = sum(limits)
    amount = min(amount, total)
    if not amount:
        return [0] * len(limits)
    # Rounded sums, so that the parts add up.
    ends = [round(amount * part / total) for part in accumulate(limits)]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def arrange(room: int, lengths: Sequence[int], gap: int, justify: str) -> list[int]:
    """Return where layers begin that follow each other in a room.

    Args:
        room: its length in pixels.
        lengths: those of the layers, in their order.
        gap: the least distance between two of them.
        justify: start, center, end, space-between or space-evenly.
    """
    free = max(room - sum(lengths) - gap * (len(lengths) - 1), 0)
    before, between = {
        "start": (0.0, 0.0),
        "center": (free / 2, 0.0),
        "end": (float(free), 0.0),
        "space-between": (0.0, free / max(len(lengths) - 1, 1)),
        "space-evenly": (free / (len(lengths) + 1), free / (len(lengths) + 1)),
    }[justify]
    starts = accumulate(lengths, initial=0)
    return [
        round(before + between * at) + start + gap * at for at, start in zip(range(len(lengths)), starts, strict=False)
    ]


def align(room: int, length: int, alignment: str) -> int:
    """Return where a layer begins that is aligned in a room: at its start, in its center or at its end."""
    return {"center": round((room - length) / 2), "end": room - length}.get(alignment, 0)


def break_rows(room: int, lengths: Sequence[int], gap: int) -> list[list[int]]:
    """Return the indices of layers by row, if layers that do not fit begin another row."""
    rows: list[list[int]] = []
    used = 0
    for at, length in enumerate(lengths):
        if rows and used + gap + length <= room:
            rows[-1].append(at)
            used += gap + length
        else:
            rows.append([at])
            used = length
    return rows
