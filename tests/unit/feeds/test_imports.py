import pytest

from cwz_web.feeds.browse import items_after, list_feeds
from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.tables import BadFile
from tests.factories import Factory


def test_a_file_becomes_a_feed_in_its_own_order(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title\nz,Last\na,First\n")
    with make.database.transaction(space.id) as db:
        items = items_after(db, feed)
        assert [(item.key, item.data["title"], item.position) for item in items] == [
            ("z", "Last", 1),
            ("a", "First", 2),
        ]
        assert [found.item_count for found in list_feeds(db, space.id)] == [2]


def test_pages_follow_each_other(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku\n" + b"\n".join(b"%d" % number for number in range(7)))
    with make.database.transaction(space.id) as db:
        first = items_after(db, feed, limit=4)
        rest = items_after(db, feed, first[-1].position, limit=4)
    assert [item.key for item in first + rest] == [str(number) for number in range(7)]


def test_a_bad_file_leaves_nothing_behind(make: Factory) -> None:
    space = make.workspace()
    with pytest.raises(BadFile):
        make.feed(space, b"only a header\n")
    assert make.count(Feed, space.id) == make.count(Item, space.id) == 0
