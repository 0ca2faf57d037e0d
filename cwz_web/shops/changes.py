"""The next change of a product's images, from what the shop has, what was recorded, and what is wanted.

Nothing here reads or writes anything: `sync.py` reads the images of a product, takes a step, and reads them again,
until no step is left. Only images that were recognized as added by ConnectWyze are ever left out of a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from pydantic import BaseModel, ConfigDict

from cwz_web.shops.contract import ImageState, NewImage, ShopImage

# A place behind all images.
LAST = 100_000
# How long an image may take to appear in the shop: a request whose answer was lost can still be at work.
INTENT_AGE = timedelta(minutes=3)


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True)


class OwnImage(_Recorded):
    """An image in the shop that ConnectWyze has added.

    Attributes:
        id: its id in the shop.
        key: the object key of our image.
        place: where it is still to be put, counted among the other images; None once it has been there, so that the
            shop's own order counts from then on.
    """

    id: str
    key: str
    place: int | None = None


class Intent(_Recorded):
    """What is recorded before an image is added, so that it is recognized even if the answer is lost.

    Attributes:
        key: the object key of our image.
        marker: what its file name in the shop contains.
        alt: its alternative text, by which it is recognized before it has a file name.
        place: as for OwnImage.
        before: the ids of the images that the product had before.
        at: when it was recorded.
    """

    key: str
    marker: str
    alt: str
    place: int
    before: list[str]
    at: datetime


class SnapshotImage(_Recorded):
    """An image that the product had before the first change."""

    id: str
    url: str
    alt: str


@dataclass(frozen=True)
class ProductRecord:
    """What is recorded of a product.

    Attributes:
        own: our images in it.
        intent: what is being added.
        snapshot: the images before the first change; None as long as there was none.
    """

    own: tuple[OwnImage, ...] = ()
    intent: Intent | None = None
    snapshot: tuple[SnapshotImage, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is, or may be, in the product."""
        return not self.own and self.intent is None


@dataclass(frozen=True)
class WantedImage:
    """The image that a product should have.

    Attributes:
        key: the object key of our image.
        url: the URL that the shop fetches it from.
        marker: what its file name in the shop contains.
        alt: its alternative text.
    """

    key: str
    url: str
    marker: str
    alt: str


class StepKind(Enum):
    """What to do with a product."""

    DONE = "done"
    WAIT = "wait"  # read it again in a moment
    ADD = "add"
    CHANGE = "change"


@dataclass(frozen=True)
class Step:
    """The next step of a product.

    Attributes:
        kind: what to do.
        record: what is to be recorded before.
        target: the list of images that the shop should have after it.
        refused: why the shop has not taken our image; "" if it has.
    """

    kind: StepKind
    record: ProductRecord
    target: tuple[str | NewImage, ...] = ()
    refused: str = ""


def next_step(
    images: Sequence[ShopImage],
    record: ProductRecord,
    wanted: WantedImage | None,
    *,
    is_first: bool,
    is_restored: bool = False,
    now: datetime,
) -> Step:
    """Return the next step of a product.

    Args:
        images: the images that the shop has, as they were just read.
        record: what was recorded.
        wanted: the image that it should have; None for none of ours.
        is_first: whether a new image becomes the first one; otherwise the last.
        is_restored: whether the order of the snapshot comes back.
        now: the time.
    """
    record = recognize(images, record, now)
    ids, states = [image.id for image in images], {image.id: image for image in images}
    own = {image.id: image for image in record.own}
    failed = [states[each] for each in own if states[each].state == ImageState.FAILED]
    if failed:
        target = tuple(each for each in ids if states[each] not in failed)
        return Step(StepKind.CHANGE, record, target, failed[0].code or "FAILED")
    if record.intent:
        return Step(StepKind.WAIT, record)
    kept = next((image for image in record.own if wanted and image.key == wanted.key), None)
    if wanted and kept is None:
        return _add(images, record, wanted, is_first=is_first, now=now)
    if kept and states[kept.id].state == ImageState.PROCESSING:
        return Step(StepKind.WAIT, record)
    others = [each for each in ids if each not in own]
    if kept is None:
        target = tuple(_restore_order(others, record.snapshot) if is_restored else others)
    elif kept.place is None:
        target = tuple(each for each in ids if each not in own or each == kept.id)
    else:
        place = min(kept.place, len(others))
        target = (*others[:place], kept.id, *others[place:])
    if target != tuple(ids):
        return Step(StepKind.CHANGE, record, target)
    placed = tuple(replace_place(image) for image in record.own)
    return Step(StepKind.DONE, replace(record, own=placed))


def recognize(images: Sequence[ShopImage], record: ProductRecord, now: datetime) -> ProductRecord:
    """Return what is recorded, with our images that have appeared since, and without those that are gone."""
    present, intent = {image.id for image in images}, record.intent
    own = [image for image in record.own if image.id in present]
    if intent is not None:
        known = {*intent.before, *(image.id for image in own)}
        found = [image for image in images if image.id not in known and _is_intended(image, intent)]
        own += [OwnImage(id=image.id, key=intent.key, place=intent.place) for image in found]
        if found or now - intent.at > INTENT_AGE:
            intent = None
    return replace(record, own=tuple(own), intent=intent)


def replace_place(image: OwnImage) -> OwnImage:
    """Return an image of ours as one that has been at its place."""
    return image.model_copy(update={"place": None})


def _is_intended(image: ShopImage, intent: Intent) -> bool:
    """Return whether an image that has appeared is the intended one: by its file name; without one yet, by its text."""
    if image.url:
        return intent.marker in image.url.partition("?")[0].rpartition("/")[2].lower()
    return image.alt == intent.alt


def _add(
    images: Sequence[ShopImage], record: ProductRecord, wanted: WantedImage, *, is_first: bool, now: datetime
) -> Step:
    """Return the step that adds an image: in the place of our former one, if there is one."""
    ids, own = [image.id for image in images], {image.id for image in record.own}
    former = next((number for number, each in enumerate(ids) if each in own), None)
    if former is not None:
        index, place = former, sum(each not in own for each in ids[:former])
    else:
        index, place = (0, 0) if is_first else (len(ids), LAST)
    snapshot = record.snapshot
    if snapshot is None:
        snapshot = tuple(
            SnapshotImage(id=image.id, url=image.url, alt=image.alt) for image in images if image.id not in own
        )
    intent = Intent(key=wanted.key, marker=wanted.marker, alt=wanted.alt, place=place, before=ids, at=now)
    target: tuple[str | NewImage, ...] = (*ids[:index], NewImage(wanted.url, wanted.alt), *ids[index:])
    return Step(StepKind.ADD, replace(record, intent=intent, snapshot=snapshot), target)


def _restore_order(ids: Sequence[str], snapshot: Sequence[SnapshotImage] | None) -> list[str]:
    """Return images in the order of a snapshot. What was added since keeps its place."""
    former = {image.id: place for place, image in enumerate(snapshot or ())}
    ordered = iter(sorted((each for each in ids if each in former), key=former.__getitem__))
    return [next(ordered) if each in former else each for each in ids]
