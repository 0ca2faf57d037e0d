"""The list of feeds: what their last imports have changed."""

from cwz_web.feeds import feed_list
from cwz_web.feeds.feed_list import count_changed_rows
from cwz_web.feeds.models import FeedImport, ImportState
from tests.factories import Factory


def test_changed_rows_of_the_last_imports(make: Factory) -> None:
    space = make.workspace()
    feed, other = make.feed(space), make.feed(space)
    imports = [(ImportState.APPLIED, n) for n in range(2, feed_list.SHOWN_IMPORTS + 2)] + [(ImportState.FAILED, 9)]
    with make.database.transaction(space.id) as db:
        for number, (state, changed) in enumerate(imports, start=2):
            values = {"number": number, "file_name": "feed.csv", "state": state, "changed": changed, "removed": 1}
            db.add(FeedImport(workspace_id=space.id, feed_id=feed.id, **values))
        db.merge(feed).import_number = len(imports) + 1
    with make.database.transaction(space.id) as db:
        counts = count_changed_rows(db, space.id, [feed.id, other.id])
    assert counts == {feed.id: list(range(4, feed_list.SHOWN_IMPORTS + 3)), other.id: [3]}
