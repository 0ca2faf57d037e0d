"""Bringing a file in as a feed: parsed whole first, then written in one go, so that nothing is ever half there."""

import json
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import raw_connection
from cwz_web.feeds.files import read_table
from cwz_web.feeds.models import Feed
from cwz_web.feeds.variants import with_keys


def upload_feed(db: Session, workspace_id: UUID, *, name: str, file_name: str, data: bytes) -> Feed:
    """Make a feed of an uploaded file. Raises BadFile."""
    keyed = with_keys(read_table(data))
    feed = Feed(
        workspace_id=workspace_id,
        name=name,
        file_name=file_name[-200:],
        columns=keyed.table.columns,
        key_columns=keyed.key_columns,
        notes=keyed.table.notes,
        item_count=len(keyed.keys),
    )
    db.add(feed)
    db.flush()
    # COPY is not for tables behind row-level security: it fills a table of this transaction's own first.
    db.execute(text("CREATE TEMPORARY TABLE staged (id uuid, position int, key text, data jsonb) ON COMMIT DROP"))
    with raw_connection(db).cursor().copy("COPY staged FROM STDIN") as copy:
        for position, (key, row) in enumerate(zip(keyed.keys, keyed.table.rows, strict=True), 1):
            copy.write_row((uuid7(), position, key, json.dumps(row)))
    db.execute(
        text(
            "INSERT INTO items (workspace_id, feed_id, id, position, key, data)"
            " SELECT :workspace, :feed, id, position, key, data FROM staged ORDER BY position"
        ),
        {"workspace": workspace_id, "feed": feed.id},
    )
    db.execute(text("DROP TABLE staged"))
    return feed
