"""The nightly test of every connection; admins are told when one stops working, and when it works again."""

from datetime import UTC, datetime
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.db.session import Database
from cwz_web.jobs import app
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.storage.connection_test import trouble_of, try_connection
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import Providers
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()


@app.periodic(cron="23 3 * * *")
@app.task(name="storage.check_connections", queueing_lock="check_connections", pass_context=True)
def check_connections(context: JobContext, timestamp: int) -> None:
    """Test every connection of every workspace."""
    found = context.additional_context
    check_all(found["database"], found["worker"].providers, found["post"].url)


def check_all(database: Database, providers: Providers, url: str) -> int:
    """Test every connection, one after the other, outside of any transaction. Returns how many have trouble."""
    with database.transaction() as db:
        known = [(row.workspace_id, row.id) for row in db.execute(text("SELECT * FROM all_connections()"))]
    return sum(_check(database, providers, url, workspace_id, connection_id) for workspace_id, connection_id in known)


def _check(database: Database, providers: Providers, url: str, workspace_id: UUID, connection_id: UUID) -> bool:
    with database.transaction(workspace_id) as db:
        connection = db.get(Connection, (workspace_id, connection_id))
        if connection is None:
            return False
        place = connection.place
    trouble = trouble_of(try_connection(lambda: providers.open(place), workspace_id))
    with database.transaction(workspace_id) as db:
        connection = db.get(Connection, (workspace_id, connection_id))
        if connection is None:
            return False
        before, connection.trouble, connection.checked_at = connection.trouble, trouble, datetime.now(UTC)
        if (before is None) == (trouble is None):
            return trouble is not None
        workspace = db.get_one(Workspace, workspace_id)
        log.warning("connection changed", workspace=str(workspace_id), connection=str(connection_id), works=not trouble)
        link = f"{url}/w/{workspace.slug}/storage/{connection.id}"
        email_admins(db, workspace_id, _letter(workspace, connection, trouble, link))
        return trouble is not None


def _letter(workspace: Workspace, connection: Connection, trouble: str | None, url: str) -> EmailMessage:
    reason = f"You get this mail because you are an admin of {workspace.name}."
    if trouble is None:
        said = (f"The storage {connection.name} of {workspace.name} works again.",)
        return EmailMessage(f"{connection.name} works again", said, ("See the connection", url), reason, Topic.STORAGE)
    said = (f"The storage {connection.name} of {workspace.name} does not work any more. {trouble}.",)
    return EmailMessage(f"{connection.name} does not work", said, ("See the connection", url), reason, Topic.STORAGE)
