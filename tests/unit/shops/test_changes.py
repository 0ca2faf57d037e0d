"""The next change of a product: with a shop in memory, whose merchant changes images at any time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.shops.changes import (
    INTENT_AGE,
    ProductRecord,
    StepKind,
    WantedImage,
    next_step,
    recognize,
)
from cwz_web.shops.contract import ImageState, NewImage, ShopImage

NOW = datetime(2026, 11, 30, tzinfo=UTC)
MARKER = "0123456789abcdef0123456789abcdef"


def wanted(number: int) -> WantedImage:
    marker = f"{number:032x}"
    return WantedImage(f"key-{number}", f"https://images.example/{marker}.jpg", marker, "A mug")


class MemoryShop:
    """A product of a shop. Deleting an image of the merchant is an error."""

    def __init__(self, names: Sequence[str]) -> None:
        self.count = 0
        self.images: list[ShopImage] = []
        self.mine: set[str] = set()
        self.clock = NOW
        for name in names:
            self.add(name)

    def new(self, name: str, alt: str = "") -> ShopImage:
        self.count += 1
        return ShopImage(str(self.count), f"https://shop.example/{name}-1.jpg", alt)

    def add(self, name: str, place: int = 100) -> None:
        image = self.new(name)
        self.mine.add(image.id)
        self.images.insert(place, image)

    def change(self, target: Sequence[str | NewImage]) -> None:
        by_id = {image.id: image for image in self.images}
        kept = {each for each in target if isinstance(each, str)}
        assert not (self.mine & by_id.keys()) - kept, "an image of the merchant was removed"
        self.images = [
            self.new(each.url.rpartition("/")[2].removesuffix(".jpg"), each.alt)
            if isinstance(each, NewImage)
            else by_id[each]
            for each in target
        ]

    def settle(
        self,
        record: ProductRecord,
        image: WantedImage | None,
        *,
        is_first: bool = True,
        is_restored: bool = False,
        stop_after: int = 20,
        lose: bool = False,
    ) -> ProductRecord:
        """Take steps until there is none, or until a worker is killed: before its step is sent if it is lost."""
        for number in range(20):
            step = next_step(self.images, record, image, is_first=is_first, is_restored=is_restored, now=self.clock)
            record = step.record
            if step.kind == StepKind.DONE:
                return record
            if step.kind == StepKind.WAIT:
                self.clock += timedelta(minutes=1)
                continue
            if number == stop_after and lose:
                return record
            self.change(step.target)
            if number == stop_after:
                return record
        raise AssertionError("no end")

    @property
    def merchants(self) -> list[str]:
        return [image.id for image in self.images if image.id in self.mine]

    @property
    def ours(self) -> list[ShopImage]:
        return [image for image in self.images if image.id not in self.mine]


@pytest.mark.parametrize(("is_first", "place"), [(True, 0), (False, 2)])
def test_image_is_added_replaced_in_its_place_and_removed(is_first: bool, place: int) -> None:
    shop = MemoryShop(["front", "back"])
    record = shop.settle(ProductRecord(), wanted(1), is_first=is_first)
    assert shop.images[place].alt == "A mug"
    assert record.snapshot is not None
    assert [image.id for image in record.snapshot] == ["1", "2"]
    moved = shop.images.pop(place)
    shop.images.insert(1, moved)
    record = shop.settle(record, wanted(1), is_first=is_first)
    assert shop.images[1] == moved, "the merchant's place counts"
    record = shop.settle(record, wanted(2), is_first=is_first)
    assert [image.id in shop.mine for image in shop.images] == [True, False, True]
    assert len(record.own) == 1
    assert shop.settle(record, None).is_empty
    assert shop.merchants == ["1", "2"]
    assert not shop.ours


def test_failed_image_is_taken_out_and_the_former_one_stays() -> None:
    shop = MemoryShop(["front"])
    record = shop.settle(ProductRecord(), wanted(1))
    step = next_step(shop.images, record, wanted(2), is_first=True, now=NOW)
    shop.change(step.target)
    shop.images[0] = ShopImage(shop.images[0].id, "", "A mug", ImageState.FAILED, "IMAGE_DOWNLOAD_FAILURE")
    step = next_step(shop.images, step.record, wanted(2), is_first=True, now=NOW)
    assert (step.kind, step.refused) == (StepKind.CHANGE, "IMAGE_DOWNLOAD_FAILURE")
    shop.change(step.target)
    assert [image.id in shop.mine for image in shop.images] == [False, True]


def test_image_that_is_processed_is_waited_for_before_the_former_one_is_removed() -> None:
    shop = MemoryShop([])
    record = shop.settle(ProductRecord(), wanted(1))
    step = next_step(shop.images, record, wanted(2), is_first=True, now=NOW)
    shop.change(step.target)
    ready = shop.images[0]
    shop.images[0] = ShopImage(ready.id, "", "A mug", ImageState.PROCESSING)
    step = next_step(shop.images, step.record, wanted(2), is_first=True, now=NOW)
    assert (step.kind, len(step.record.own)) == (StepKind.WAIT, 2)
    shop.images[0] = ready
    record = shop.settle(step.record, wanted(2))
    assert [image.key for image in record.own] == ["key-2"]
    assert len(shop.images) == 1


def test_image_of_a_lost_answer_is_not_added_twice() -> None:
    shop = MemoryShop(["front"])
    record = shop.settle(ProductRecord(), wanted(1), stop_after=0)
    assert record.intent is not None
    assert not record.own
    assert shop.settle(record, wanted(1)).own
    assert len(shop.ours) == 1


def test_image_that_never_appeared_is_added_again_after_a_while() -> None:
    shop = MemoryShop(["front"])
    record = shop.settle(ProductRecord(), wanted(1), stop_after=0, lose=True)
    step = next_step(shop.images, record, wanted(1), is_first=True, now=NOW)
    assert step.kind == StepKind.WAIT
    shop.settle(record, wanted(1))
    assert len(shop.ours) == 1
    assert shop.clock - NOW > INTENT_AGE


def test_other_images_that_appear_meanwhile_are_the_merchants() -> None:
    shop = MemoryShop(["front"])
    record = shop.settle(ProductRecord(), wanted(1), stop_after=0, lose=True)
    shop.add("A mug")
    shop.images[-1] = ShopImage(shop.images[-1].id, "https://shop.example/mug.jpg", "A mug")
    assert not recognize(shop.images, record, NOW).own


edits = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("kill"), st.integers(1, 3), st.integers(0, 2)),
        st.tuples(st.just("lose"), st.integers(1, 3), st.integers(0, 2)),
        st.tuples(st.just("add"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, 5), st.integers(0, 5)),
    ),
    max_size=12,
)


@given(st.integers(0, 4), edits, st.booleans())
def test_restore_gives_the_merchants_images_back_after_anything(
    count: int, steps: list[tuple[str, int, int]], is_first: bool
) -> None:
    shop, record = MemoryShop([f"photo-{number}" for number in range(count)]), ProductRecord()
    for kind, number, other in steps:
        if kind in ("want", "kill", "lose"):
            stop = {"want": 20, "kill": other, "lose": other}[kind]
            image = wanted(number) if number else None
            record = shop.settle(record, image, is_first=is_first, stop_after=stop, lose=kind == "lose")
            if kind == "want":
                assert len(shop.ours) == bool(image)
                record = ProductRecord() if record.is_empty else record
        elif kind == "add":
            shop.add(f"new-{shop.count}", number)
        elif shop.images and kind == "remove":
            shop.mine.discard(shop.images.pop(number % len(shop.images)).id)
        elif shop.images:
            shop.images.insert(other % len(shop.images), shop.images.pop(number % len(shop.images)))
    before, snapshot = shop.merchants, record.snapshot
    shop.settle(record, None, is_first=is_first, is_restored=True)
    assert not shop.ours
    assert set(shop.merchants) == set(before)
    former = [image.id for image in snapshot or () if image.id in before]
    assert [each for each in shop.merchants if each in set(former)] == (former or [])
    for place, each in enumerate(before):
        if each not in set(former):
            assert shop.merchants[place] == each, "what was added since keeps its place"


runs = st.lists(
    st.tuples(st.sampled_from(["want", "kill", "lose"]), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=10
)


@given(st.integers(0, 5), runs, st.booleans())
def test_images_of_the_merchant_stay_in_order_and_restore_is_exact(
    count: int, steps: list[tuple[str, int, int]], is_first: bool
) -> None:
    """Killed workers and lost answers at any step, with any wanted images: the merchant changes nothing meanwhile."""
    shop, record = MemoryShop([f"photo-{number}" for number in range(count)]), ProductRecord()
    original, orders = list(shop.images), []
    change = shop.change

    def watch(target: Sequence[str | NewImage]) -> None:
        change(target)
        orders.append(shop.merchants)

    shop.change = watch  # type: ignore[method-assign]
    for kind, number, stop in steps:
        image = wanted(number) if number else None
        stop = 20 if kind == "want" else stop
        record = shop.settle(record, image, is_first=is_first, stop_after=stop, lose=kind == "lose")
    ids = [image.id for image in original]
    assert all(order == ids for order in orders), "the order of the merchant's images, after each change"
    if record.snapshot is not None:
        assert [image.id for image in record.snapshot] == ids
    assert shop.settle(record, None, is_first=is_first, is_restored=True).is_empty
    assert shop.images == original
