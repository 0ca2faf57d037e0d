"""The nightly test of every connection. Admins get an email when one starts to fail, and when it works again."""

from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.db.session import Database
from cwz_web.i18n import gettext
from cwz_web.jobs import app
from cwz_web.net.client import Fetcher
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.storage.connection_test import error_text, run_connection_test, save_result
from cwz_web.storage.connections import enqueue_channel_feeds
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.storage.public_urls import PublicAccess
from cwz_web.workspaces.members import admin_reason, email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()


@app.periodic(cron="23 3 * * *")
@app.task(name="storage.check_connections", queueing_lock="check_connections", pass_context=True)
def check_connections(context: JobContext, timestamp: int) -> None:
    """Test every connection of every workspace."""
    services = context.additional_context
    run_all_connection_tests(
        services["database"], services["providers"], services["fetcher"], services["email_service"].url
    )


def run_all_connection_tests(database: Database, providers: ProviderRegistry, fetcher: Fetcher, url: str) -> int:
    """Test all connections one after the other, outside of any transaction. Return how many fail."""
    with database.transaction() as db:
        ids = [(row.workspace_id, row.id) for row in db.execute(text("SELECT * FROM all_connections()"))]
    return sum(_test(database, providers, fetcher, url, *of) for of in ids)


def _test(
    database: Database, providers: ProviderRegistry, fetcher: Fetcher, url: str, workspace_id: UUID, connection_id: UUID
) -> bool:
    with database.transaction(workspace_id) as db:
        connection = db.get(Connection, (workspace_id, connection_id))
        if connection is None:
            return False
        spec, base_url = connection.spec, connection.public_base_url
    access = PublicAccess.of(base_url, fetcher, providers.get(spec.provider))
    steps = run_connection_test(lambda: providers.open(spec), workspace_id, access)
    with database.transaction(workspace_id) as db:
        connection = db.get(Connection, (workspace_id, connection_id))
        if connection is None:
            return False
        had_failed, former_url = connection.error_message is not None, connection.proven_base_url
        save_result(connection, steps, base_url)
        if connection.proven_base_url != former_url:
            enqueue_channel_feeds(db, workspace_id)
        has_failed = connection.error_message is not None
        if had_failed != has_failed:
            log.warning(
                "connection state changed",
                workspace=str(workspace_id),
                connection=str(connection_id),
                works=not has_failed,
            )
            workspace = db.get_one(Workspace, workspace_id)
            link = f"{url}/w/{workspace.slug}/storage/{connection.id}"
            email_admins(db, workspace_id, lambda: _email(workspace, connection, link))
        return has_failed


def _email(workspace: Workspace, connection: Connection, url: str) -> EmailMessage:
    names = {"name": connection.name, "workspace": workspace.name}
    if connection.error_message is None:
        subject = gettext("Storage connection %(name)s works again", **names)
        text = gettext("The storage connection %(name)s of %(workspace)s works again.", **names)
    else:
        subject = gettext("Storage connection %(name)s fails", **names)
        failed = gettext("The storage connection %(name)s of %(workspace)s failed its test.", **names)
        text = f"{failed} {error_text(connection)}."
    return EmailMessage(
        subject, (text,), (gettext("View connection"), url), admin_reason(workspace.name), Topic.STORAGE
    )
