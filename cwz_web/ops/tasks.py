"""Jobs: backups, purges, retention and exports. Those that act as the owner of the tables use the maintenance queue."""

from uuid import UUID

from procrastinate import JobContext, RetryStrategy

from cwz_web.jobs import EXPORT_QUEUE, MAINTENANCE_QUEUE, RETRY, app
from cwz_web.ops.backup_store import BackupStore
from cwz_web.ops.exports import delete_expired_exports, run_export
from cwz_web.ops.purge import purge_due
from cwz_web.ops.retention import RetentionPolicy, delete_expired_records, delete_old_api_requests
from cwz_web.ops.upload_purge import purge_deleted_uploads

EXPORT_MAX_ATTEMPTS = 6


@app.periodic(cron="7 2 * * *")
@app.task(name="ops.back_up", queue=MAINTENANCE_QUEUE, queueing_lock="back_up", retry=RETRY, pass_context=True)
def back_up(context: JobContext, timestamp: int) -> None:
    """Create the nightly backup."""
    _backup_store(context).back_up(context.additional_context["database"])


@app.periodic(cron="37 4 * * 0")
@app.task(name="ops.verify_backup", queue=MAINTENANCE_QUEUE, queueing_lock="verify_backup", pass_context=True)
def verify_backup(context: JobContext, timestamp: int) -> None:
    """Restore the newest backup into a temporary server, once a week."""
    _backup_store(context).verify_newest(context.additional_context["database"])


@app.task(name="ops.save_tombstones", queue=MAINTENANCE_QUEUE, retry=RETRY, pass_context=True)
def save_tombstones(context: JobContext) -> None:
    """Write the tombstones beside the backups, after a deletion."""
    _backup_store(context).save_tombstones(context.additional_context["database"])


@app.periodic(cron="19 * * * *")
@app.task(name="ops.delete_old_backups", queue=MAINTENANCE_QUEUE, queueing_lock="delete_old_backups", pass_context=True)
def delete_old_backups(context: JobContext, timestamp: int) -> None:
    """Delete backups that are too old, also when no new one was created."""
    _backup_store(context).delete_old()


@app.periodic(cron="29 * * * *")
@app.task(name="ops.purge", queueing_lock="purge", pass_context=True)
def purge(context: JobContext, timestamp: int) -> None:
    """Purge deleted workspaces and accounts whose grace period is over."""
    extra = context.additional_context
    purge_due(extra["database"], extra["providers"])


@app.periodic(cron="53 3 * * *")
@app.task(name="ops.delete_expired", queueing_lock="delete_expired", pass_context=True)
def delete_expired(context: JobContext, timestamp: int) -> None:
    """Delete old history, expired exports, and the files of uploads that were deleted a while ago."""
    extra = context.additional_context
    policy: RetentionPolicy = extra["retention"]
    delete_expired_records(extra["database"], policy)
    delete_expired_exports(extra["database"], extra["providers"], policy.exports)
    purge_deleted_uploads(extra["database"], extra["providers"], policy.deleted)


@app.periodic(cron="11 * * * *")
@app.task(name="ops.delete_old_api_requests", queueing_lock="delete_old_api_requests", pass_context=True)
def delete_old_requests(context: JobContext, timestamp: int) -> None:
    """Delete API requests that are too old, or too many."""
    extra = context.additional_context
    policy: RetentionPolicy = extra["retention"]
    delete_old_api_requests(extra["database"], policy.requests)


@app.task(
    name="ops.export",
    queue=EXPORT_QUEUE,
    retry=RetryStrategy(max_attempts=EXPORT_MAX_ATTEMPTS, exponential_wait=4),
    pass_context=True,
)
def export(context: JobContext, workspace_id: str, export_id: str) -> None:
    """Export a workspace into its storage."""
    extra = context.additional_context
    run_export(
        extra["database"],
        extra["providers"],
        UUID(workspace_id),
        UUID(export_id),
        is_last_attempt=context.job.attempts + 1 >= EXPORT_MAX_ATTEMPTS,
        url=extra["email_service"].url,
    )


def _backup_store(context: JobContext) -> BackupStore:
    store: BackupStore = context.additional_context["backup_store"]
    return store
