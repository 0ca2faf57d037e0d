"""The jobs of the upkeep. Those that act as the owner of the tables have a queue of their own."""

from uuid import UUID

from procrastinate import JobContext, RetryStrategy

from cwz_web.jobs import EXPORT_QUEUE, RETRY, UPKEEP_QUEUE, app
from cwz_web.ops.backup_store import BackupStore
from cwz_web.ops.exports import delete_expired_exports, run_export
from cwz_web.ops.purge import purge_due
from cwz_web.ops.retention import RetentionPolicy, delete_expired_records

EXPORT_TRIES = 6


@app.periodic(cron="7 2 * * *")
@app.task(name="ops.back_up", queue=UPKEEP_QUEUE, queueing_lock="back_up", retry=RETRY, pass_context=True)
def back_up(context: JobContext, timestamp: int) -> None:
    """Back up once a night."""
    extra = context.additional_context
    _archive(context).back_up(extra["database"])


@app.periodic(cron="37 4 * * 0")
@app.task(name="ops.verify_backup", queue=UPKEEP_QUEUE, queueing_lock="verify_backup", pass_context=True)
def verify_backup(context: JobContext, timestamp: int) -> None:
    """Restore the newest backup on trial, once a week."""
    _archive(context).verify_newest(context.additional_context["database"])


@app.task(name="ops.write_tombstones", queue=UPKEEP_QUEUE, retry=RETRY, pass_context=True)
def note_tombstones(context: JobContext) -> None:
    """Bring the tombstones beside the backups up to date."""
    _archive(context).keep_tombstones(context.additional_context["database"])


@app.periodic(cron="19 * * * *")
@app.task(name="ops.drop_old_backups", queue=UPKEEP_QUEUE, queueing_lock="drop_old_backups", pass_context=True)
def drop_old_backups(context: JobContext, timestamp: int) -> None:
    """See that no backup is too old, whether or not there are newer ones."""
    _archive(context).release_connection()


@app.periodic(cron="29 * * * *")
@app.task(name="ops.purge", queueing_lock="purge", pass_context=True)
def purge(context: JobContext, timestamp: int) -> None:
    """Remove what was deleted long enough ago, for good."""
    extra = context.additional_context
    purge_due(extra["database"], extra["providers"])


@app.periodic(cron="53 3 * * *")
@app.task(name="ops.forget_old", queueing_lock="forget_old", pass_context=True)
def forget(context: JobContext, timestamp: int) -> None:
    """Drop history that has grown too old, and exports whose days are over."""
    extra = context.additional_context
    keep: RetentionPolicy = extra["retention"]
    delete_expired_records(extra["database"], keep)
    delete_expired_exports(extra["database"], extra["providers"], keep.exports)


@app.task(
    name="ops.export",
    queue=EXPORT_QUEUE,
    retry=RetryStrategy(max_attempts=EXPORT_TRIES, exponential_wait=4),
    pass_context=True,
)
def export(context: JobContext, workspace_id: str, export_id: str) -> None:
    """Write everything that a workspace has into one zip."""
    extra, last_try = context.additional_context, context.job.attempts + 1 >= EXPORT_TRIES
    place = UUID(workspace_id), UUID(export_id)
    run_export(extra["database"], extra["providers"], *place, last_try=last_try, url=extra["email_service"].url)


def _archive(context: JobContext) -> BackupStore:
    archive: BackupStore = context.additional_context["archive"]
    return archive
