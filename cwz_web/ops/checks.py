"""`cwz doctor`: looks at a deployment as somebody who has seen many go wrong, and says what to mend."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
from limits.storage import storage_from_string
from sqlalchemy import create_engine, make_url, select, text

from cwz_web.accounts.models import Account
from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.migrate import is_behind
from cwz_web.db.session import Database
from cwz_web.notify.email_delivery import EmailDeliveryError, SmtpTransport, delivery
from cwz_web.ops import health
from cwz_web.ops.backup_store import backup_bucket
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.contract import StorageError
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry

WAIT = 10.0
LEAST_DISK = 2 * 1024**3
CLOCK = timedelta(seconds=2)
BACKUP_AGE, TRIAL_AGE = timedelta(hours=26), timedelta(days=8)


class Level(StrEnum):
    """How bad it is."""

    FINE = "fine"
    WARNING = "look"
    WRONG = "mend"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    level: Level
    about: str
    said: str


@dataclass(frozen=True)
class CheckContext:
    """A deployment.

    Attributes:
        server: the .ini file's `[server:main]`.
    """

    settings: Settings
    database: Database
    providers: ProviderRegistry
    ring: KeyRing
    server: Mapping[str, str]


Check = Callable[[CheckContext], Iterator[Finding]]


def run_checks(patient: CheckContext) -> Iterator[Finding]:
    """Every finding. A check that fails by itself is a finding, too."""
    for check in CHECKS:
        about = (check.__doc__ or "").partition(".")[0]
        try:
            yield from check(patient)
        except Exception as error:
            yield Finding(Level.WRONG, about, f"could not be looked at: {type(error).__name__}: {error}".split("\n")[0])


def _database(patient: CheckContext) -> Iterator[Finding]:
    """The database and its role."""
    about = "database"
    with patient.database.transaction() as db:
        role = db.execute(
            text(
                "SELECT rolname, rolsuper OR rolbypassrls AS over, (SELECT count(*) FROM pg_class"
                " WHERE relowner = current_user::regrole AND relnamespace = 'public'::regnamespace) AS owned"
                " FROM pg_roles WHERE rolname = current_user"
            )
        ).one()
        behind = is_behind(db.connection())
        now = db.scalar(text("SELECT clock_timestamp()"))
        open_tables = (
            "SELECT relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND NOT c.relforcerowsecurity"
        )
        unwalled = list(db.scalars(text(open_tables)))
    if role.over or role.owned:
        yield Finding(
            Level.WRONG,
            about,
            f"The role {role.rolname} of DATABASE_URL can go round row-level security. Name one in DATABASE_URL that is"
            " no superuser, has no BYPASSRLS and owns no table; `cwz migrate` makes it",
        )
    elif unwalled:
        yield Finding(Level.WRONG, about, f"Without row-level security: {', '.join(unwalled)}. Run `cwz migrate`")
    else:
        yield Finding(Level.FINE, about, f"The role {role.rolname} is bound by row-level security")
    if behind:
        yield Finding(Level.WRONG, "migrations", "The schema is older than this version. Run `cwz migrate`")
    else:
        yield Finding(Level.FINE, "migrations", "The schema is of this version")
    apart = abs(datetime.now(UTC) - now)
    if apart > CLOCK:
        said = f"This machine and the database are {apart.total_seconds():.0f} seconds apart. Let both follow NTP"
        yield Finding(Level.WRONG, "clocks", said)
    else:
        yield Finding(Level.FINE, "clocks", "This machine and the database agree")


def _owner(patient: CheckContext) -> Iterator[Finding]:
    """The role that owns the tables."""
    about, url = "owner's role", patient.settings.database.owner_url
    if url is None:
        said = "DATABASE_OWNER_URL is not set here: backups, their trials and migrations need it where they are to run"
        yield Finding(Level.WARNING, about, said)
        return
    engine = create_engine(url.get_secret_value(), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            owned = connection.scalar(
                text("SELECT count(*) FROM pg_class WHERE relname = 'accounts' AND relowner = current_user::regrole")
            )
    finally:
        engine.dispose()
    if owned:
        yield Finding(Level.FINE, about, "It owns the tables")
    else:
        said = f"{make_url(url.get_secret_value()).username} does not own the tables. Name the role that does"
        yield Finding(Level.WRONG, about, said)


def _keys(patient: CheckContext) -> Iterator[Finding]:
    """The keys for secrets."""
    about, old, shut = "encryption keys", 0, 0
    with patient.database.transaction() as db:
        known = [(row.workspace_id, row.id) for row in db.execute(text("SELECT * FROM all_connections()"))]
    for workspace_id, connection_id in known:
        with patient.database.transaction(workspace_id, deleted=True) as db:
            found = db.get(Connection, (workspace_id, connection_id))
            if found is None or found.sealed is None:
                continue
            try:
                patient.ring.decrypt(found.sealed, *found.spec.context)
                old += not patient.ring.is_newest(found.sealed)
            except DecryptionError:
                shut += 1
    if shut:
        said = f"{shut} secrets open with no key. Put the key that they were made with behind the others"
        yield Finding(Level.WRONG, about, f"{said} in CWZ_ENCRYPTION_KEYS")
    elif old:
        yield Finding(Level.WARNING, about, f"{old} secrets have an older key. Run `cwz keys rotate`")
    else:
        yield Finding(Level.FINE, about, "Every stored secret opens with the newest key")


def _mail(patient: CheckContext) -> Iterator[Finding]:
    """Mail."""
    way = delivery(patient.settings)
    if not isinstance(way, SmtpTransport):
        said = {
            "folder": "Mails are files; nobody gets any",
            "resend": "Resend has a key; a mail will tell if it is right",
        }
        yield Finding(Level.FINE, "mail", said[patient.settings.mail.transport])
        return
    try:
        way.check()
    except EmailDeliveryError as error:
        yield Finding(Level.WRONG, "mail", f"{way.host}:{way.port} does not take us ({error}). See cwz.mail.smtp_*")
    else:
        yield Finding(Level.FINE, "mail", f"{way.host} takes us")


def _storage(patient: CheckContext) -> Iterator[Finding]:
    """Storage plugins."""
    for name, reason in patient.providers.load_errors.items():
        yield Finding(Level.WRONG, "storage", f"The plugin {name} is left out: {reason}")
    labels = ", ".join(provider.label for provider in patient.providers)
    yield Finding(Level.FINE if labels else Level.WRONG, "storage", labels or "There is no plugin: install plugins/*")
    root = patient.settings.storage.get("local", {}).get("root")
    if root and patient.providers.get("local"):
        folder = Path(root)
        if folder.exists() and not os.access(folder, os.W_OK):
            yield Finding(Level.WRONG, "storage", f"{folder} cannot be written to by this user")
        if not patient.settings.development:
            said = f"cwz.storage.local.root = {root}: every machine has to see this folder, or block the plugin"
            yield Finding(Level.WARNING, "storage", said)


def _limits(patient: CheckContext) -> Iterator[Finding]:
    """Rate limits."""
    where = patient.settings.rate_limits
    if where.startswith("memory"):
        level = Level.FINE if patient.settings.development else Level.WARNING
        said = "Counted in each process by itself; several need cwz.rate_limits = redis://…"
        yield Finding(level, "rate limits", said)
    elif storage_from_string(where).check():
        yield Finding(Level.FINE, "rate limits", "Counted for all processes together")
    else:
        yield Finding(Level.WRONG, "rate limits", "The server of cwz.rate_limits does not answer")


def _proxy(patient: CheckContext) -> Iterator[Finding]:
    """The proxy in front, and cookies."""
    settings, about = patient.settings, "proxy and cookies"
    if not settings.development:
        if not patient.server.get("trusted_proxy"):
            said = "[server:main] names no trusted_proxy: every visitor would seem to come from the proxy"
            yield Finding(Level.WRONG, about, said)
        elif "x-forwarded-for" not in patient.server.get("trusted_proxy_headers", ""):
            yield Finding(Level.WRONG, about, "trusted_proxy_headers needs x-forwarded-for and x-forwarded-proto")
    try:
        answer = httpx.get(f"{settings.url}/signin", timeout=WAIT, trust_env=False)
    except httpx.HTTPError as error:
        yield Finding(Level.WARNING, about, f"{settings.url} does not answer from here: {type(error).__name__}")
        return
    if answer.status_code != 200:
        said = f"{settings.url}/signin answers {answer.status_code}: does the proxy pass the Host header on?"
        yield Finding(Level.WRONG, about, said)
        return
    cookies = answer.headers.get_list("set-cookie")
    if not settings.development and not all(c.startswith("__Host-") and "secure" in c.lower() for c in cookies):
        yield Finding(Level.WRONG, about, "Cookies come back without __Host- and Secure: the proxy changes them")
    elif not settings.development and "strict-transport-security" not in answer.headers:
        yield Finding(Level.WRONG, about, "Strict-Transport-Security is missing: the proxy takes it away")
    else:
        yield Finding(Level.FINE, about, f"{settings.url} answers as it should")


def _disk(patient: CheckContext) -> Iterator[Finding]:
    """Disks."""
    for folder in {patient.settings.var, patient.settings.backup_folder}:
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free = shutil.disk_usage(there).free
        level = Level.FINE if free > LEAST_DISK else Level.WRONG
        yield Finding(level, "disk", f"{free / 1024**3:.1f} GB are free for {folder}")
        if not os.access(there, os.W_OK):
            yield Finding(Level.WRONG, "disk", f"{there} cannot be written to by this user")


def _backups(patient: CheckContext) -> Iterator[Finding]:
    """Backups."""
    with patient.database.transaction() as db:
        known = health.backups(db)
    now = datetime.now(UTC)
    if not known or now - known[0].made_at > BACKUP_AGE:
        age = f"The newest backup is {(now - known[0].made_at).days} days old" if known else "There is no backup"
        said = f"{age}. Give one worker DATABASE_OWNER_URL, or call `cwz backup` each night"
        yield Finding(Level.WARNING if patient.settings.development else Level.WRONG, "backups", said)
    else:
        newest = f"{known[0].made_at:%-d %B, %H:%M} UTC"
        yield Finding(Level.FINE, "backups", f"There are {len(known)}, the newest of {newest}")
    tried = [backup for backup in known if backup.verified_at]
    for backup in tried:
        if backup.trouble:
            yield Finding(Level.WRONG, "backups", f"{backup.name} could not be restored on trial: {backup.trouble}")
    if known and not any(now - backup.verified_at < TRIAL_AGE for backup in tried if backup.verified_at):
        yield Finding(Level.WARNING, "backups", "None was restored on trial this week. Run `cwz backup verify`")
    if patient.settings.backup.provider:
        try:
            next(iter(backup_bucket(patient.settings, patient.providers).list("connectwyze-backups/")), None)
            yield Finding(Level.FINE, "backups", "The storage for copies answers")
        except (StorageError, SettingsError) as error:
            yield Finding(Level.WRONG, "backups", f"The storage for copies does not work: {error}")
    elif not patient.settings.development:
        yield Finding(Level.WARNING, "backups", "No copy leaves this machine. Set cwz.backup.provider")


def _workers(patient: CheckContext) -> Iterator[Finding]:
    """Workers and queues."""
    with patient.database.transaction() as db:
        lanes, known = health.workers(db), health.queues(db)
    if not lanes:
        said = "None is alive: nothing is rendered and no mail leaves. Start `cwz worker`"
        yield Finding(Level.WARNING if patient.settings.development else Level.WRONG, "workers", said)
    else:
        yield Finding(Level.FINE, "workers", f"{lanes} lanes are alive")
    for queue in known:
        if queue.is_slow:
            said = f"The first job of {queue.name} waits for {queue.oldest / 60:.0f} minutes. Start more workers"
            yield Finding(Level.WRONG, "workers", said)
        if queue.failed:
            yield Finding(Level.WARNING, "workers", f"{queue.failed} jobs of {queue.name} were given up: see /ops")


def _files(patient: CheckContext) -> Iterator[Finding]:
    """Front-end files."""
    folder = patient.settings.node_modules
    missing = [name for name in ("htmx.org", "lucide-static") if not (folder / name / "package.json").exists()]
    if missing:
        where = f"{folder} has no {' and no '.join(missing)}"
        yield Finding(Level.WRONG, "front-end files", f"{where}. Run `npm ci`, or set cwz.node_modules")
    else:
        yield Finding(Level.FINE, "front-end files", "They are installed")


def _people(patient: CheckContext) -> Iterator[Finding]:
    """Operators, and what the public pages say about you."""
    settings = patient.settings
    if settings.development:
        return
    wanted = ("name", "address", "contact", "security_contact", "since", "law")
    missing = [name for name in wanted if not getattr(settings.operator, name)]
    if missing:
        names = ", ".join(f"cwz.operator.{name}" for name in missing)
        yield Finding(Level.WARNING, "public pages", f"Privacy, terms and security.txt lack {names}")
    expires = settings.operator.security_expires
    if expires and expires <= datetime.now(UTC).date():
        yield Finding(Level.WRONG, "public pages", "security.txt has expired: set cwz.operator.security_expires anew")
    if not settings.operator.emails:
        yield Finding(Level.WARNING, "operators", "cwz.operator.emails is empty: nobody sees /ops")
        return
    with patient.database.transaction() as db:
        found = {account.email.lower(): account for account in db.scalars(select(Account))}
    for address in settings.operator.emails:
        account: Any = found.get(address)
        if account is None or not account.has_second_factor:
            yield Finding(Level.WARNING, "operators", f"{address} needs an account with a second factor to see /ops")


CHECKS: tuple[Check, ...] = (
    _database,
    _owner,
    _keys,
    _mail,
    _storage,
    _limits,
    _proxy,
    _disk,
    _backups,
    _workers,
    _files,
    _people,
)
