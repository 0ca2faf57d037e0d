"""A process that is killed in the middle of an import leaves the feed as it was, and nothing in the next one's way."""

import signal
import subprocess
import sys

from cwz_web.feeds.browse import items_after
from cwz_web.feeds.files import spooled
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed, FeedImport
from tests.factories import Factory
from tests.installation import ROOT

# The import itself, which stops to be killed after two thousand rows.
IMPORT = """
import sys, time
from uuid import UUID
from cwz_web.db.session import Database
from cwz_web.feeds import imports
from cwz_web.feeds.files import spooled
from cwz_web.feeds.models import Feed

url, workspace, feed = sys.argv[1], UUID(sys.argv[2]), UUID(sys.argv[3])
line = imports._line

def slow(position, key, row):
    if position == 2000:
        print("in the middle", flush=True)
        time.sleep(60)
    return line(position, key, row)

imports._line = slow
data = b"sku,title\\n" + b"".join(b"%d,New %d\\n" % (n, n) for n in range(5000))
with Database(url).transaction(workspace) as db:
    imports.import_file(db, db.get_one(Feed, (workspace, feed)), file_name="new.csv", file=spooled(data))
"""


def test_a_process_that_is_killed_in_the_middle_of_an_import_leaves_the_feed_as_it_was(
    make: Factory, app_url: str
) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title\n1,One\n2,Two\n")
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORT, app_url, str(space.id), str(feed.id)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    with make.database.transaction(space.id) as db:
        assert [item.data["title"] for item in items_after(db, feed)] == ["One", "Two"]
    assert make.count(FeedImport, space.id) == 1
    with make.database.transaction(space.id) as db:
        again = db.get_one(Feed, (space.id, feed.id))
        record = import_file(db, again, file_name="n.csv", file=spooled(b"sku,title\n1,One\n2,Two\n3,Three\n"))
        assert (record.number, record.added) == (2, 1)
