"""The .ini file and the environment as one typed, frozen object.

Everything that an operator can set is a field here, nested by subject: `cwz.mail.sender` is `settings.mail.sender`.
`Settings.load` fails at start with one message that names every problem. Secrets are never read from an .ini file:
they come from the environment or, in development only, from a file that is generated on first use.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.db.embedded import socket_directory
from cwz_web.net.addresses import DNS_PORT, split_port

PREFIX = "cwz."
# The secrets that every installation needs, each of its own value.
SECRETS = ("session", "csrf", "password_pepper", "render", "signing")
# The environment variables, by setting. All but the database URLs are refused in an .ini file.
ENVIRONMENT = {
    "database.url": "DATABASE_URL",
    "database.owner_url": "DATABASE_OWNER_URL",
    "database.queue_url": "DATABASE_QUEUE_URL",
    "secrets.session": "CWZ_SESSION_SECRET",
    "secrets.session_previous": "CWZ_SESSION_SECRET_PREVIOUS",
    "secrets.csrf": "CWZ_CSRF_SECRET",
    "secrets.password_pepper": "CWZ_PASSWORD_PEPPER",
    "secrets.render": "CWZ_RENDER_SECRET",
    "secrets.signing": "CWZ_SIGNING_SECRET",
    "secrets.encryption_keys": "CWZ_ENCRYPTION_KEYS",
    "mail.smtp_password": "CWZ_SMTP_PASSWORD",
    "mail.resend_api_key": "CWZ_RESEND_API_KEY",
    "google.client_secret": "CWZ_GOOGLE_CLIENT_SECRET",
    "slack.client_secret": "CWZ_SLACK_CLIENT_SECRET",
    "billing.stripe_secret_key": "CWZ_STRIPE_SECRET_KEY",
    "billing.stripe_webhook_secrets": "CWZ_STRIPE_WEBHOOK_SECRETS",
    "monitoring.sentry_dsn": "CWZ_SENTRY_DSN",
    "monitoring.metrics_token": "CWZ_METRICS_TOKEN",
    "backup.credentials": "CWZ_BACKUP_CREDENTIALS",
    "included_storage.credentials": "CWZ_INCLUDED_STORAGE_CREDENTIALS",
}
MIN_SECRET_LENGTH = 32
EMBEDDED_ROLES = {"url": "cwz_app", "owner_url": "cwz_owner", "queue_url": "cwz_render"}
# The plans that ship; `cwz.plan.<name>.<field>` changes one, or adds one. 0 is unlimited.
PLANS: dict[str, dict[str, object]] = {
    "free": {
        "label": "Free",
        "images": 100,
        "members": 2,
        "connections": 1,
        "feeds": 2,
        "uploads": 100,
        "history_days": 30,
    },
    "pro": {
        "label": "Pro",
        "images": 10_000,
        "members": 10,
        "connections": 5,
        "feeds": 50,
        "uploads": 1000,
        "history_days": 180,
        "prices": "connectwyze_pro_monthly connectwyze_pro_yearly",
    },
    "scale": {
        "label": "Scale",
        "images": 100_000,
        "members": 50,
        "connections": 20,
        "feeds": 500,
        "uploads": 5000,
        "history_days": 365,
        "prices": "connectwyze_scale_monthly connectwyze_scale_yearly",
    },
}
FREE = "free"
# What each public page names, as settings of the operator: it is hidden until all of them are set.
OPERATOR_PAGES = {
    "privacy": ("name", "address", "contact", "since"),
    "terms": ("name", "address", "contact", "since", "governing_law"),
    "imprint": ("name", "address", "contact"),
}
PRICING = "pricing"


def _split(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


StringTuple = Annotated[tuple[str, ...], BeforeValidator(_split)]
EmailOrNothing = Annotated[str, Field(pattern=r"^$|^[^@\s]+@[^@\s]+$")]


class SettingsError(Exception):
    """The application cannot start with these settings; the message names each problem."""


class SettingsGroup(BaseModel):
    """The settings of one subject."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Database(SettingsGroup):
    """PostgreSQL: an external server, or the embedded one."""

    url: SecretStr = Field(description="the application's role: not the owner, subject to row-level security")
    owner_url: SecretStr | None = Field(
        default=None, description="the owner of the tables; for migrations, backups and restores only"
    )
    queue_url: SecretStr | None = Field(
        default=None, description="the role of render workers, which `cwz migrate` grants the render queue"
    )
    embedded: Path | None = Field(default=None, description="run the PostgreSQL of the wheel in this folder")


class RenderDatabase(BaseModel):
    """The database of a render worker, as a role that may only use the render queue."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    queue_url: SecretStr = Field(description="the role that `cwz migrate` grants the render queue")


class Secrets(SettingsGroup):
    """The secrets of the installation; each but the encryption keys is random text."""

    session: SecretStr = Field(description="signs session cookies")
    session_previous: SecretStr | None = Field(default=None, description="still accepted while `session` is rotated")
    csrf: SecretStr = Field(description="signs form tokens")
    password_pepper: SecretStr = Field(description="part of every password hash")
    render: SecretStr = Field(description="signs requests between render workers and the web application")
    signing: SecretStr = Field(description="signs image URLs")
    encryption_keys: SecretStr = Field(description="32 random bytes in base64url; newest first, separated by commas")

    @property
    def key_ring(self) -> KeyRing:
        """The keys for secrets at rest."""
        return KeyRing(parse_keys(self.encryption_keys.get_secret_value()))

    @field_validator("encryption_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @field_validator(*SECRETS)
    @classmethod
    def _check_strength(cls, value: SecretStr) -> SecretStr:
        return _require_strong_secret(value)


class RenderSecrets(BaseModel):
    """The one secret that a render worker needs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    render: SecretStr = Field(description="signs requests between render workers and the web application")

    @field_validator("render")
    @classmethod
    def _check_strength(cls, value: SecretStr) -> SecretStr:
        return _require_strong_secret(value)


class Mail(SettingsGroup):
    """How email is sent."""

    transport: Literal["folder", "smtp", "resend"] = "smtp"
    sender: str = Field(
        default="ConnectWyze <no-reply@localhost>", max_length=200, pattern=r"^[^\r\n<>]*<[^<>@\s]+@[^<>@\s]+>$"
    )
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    resend_api_key: SecretStr = SecretStr("")


class Billing(SettingsGroup):
    """Stripe. Without a secret key there is no billing, and no plan limits anything."""

    stripe_secret_key: SecretStr = Field(default=SecretStr(""), description="turns billing on")
    stripe_webhook_secrets: SecretStr = Field(
        default=SecretStr(""), description="of the webhook endpoint; two, separated by a comma, while one is rotated"
    )
    stripe_api: str = Field(default="https://api.stripe.com", pattern=r"^https?://[A-Za-z0-9.\-:]+$")
    stripe_pages: StringTuple = Field(
        default=("https://checkout.stripe.com", "https://billing.stripe.com"),
        description="origins of Stripe's pages: users are redirected to no other site",
    )
    automatic_tax: bool = Field(default=False, description="let Stripe Tax calculate taxes")
    trial_days: int = Field(default=0, ge=0, le=730)
    grace_days: int = Field(default=7, ge=0, le=90, description="from a failed payment until a workspace is read-only")

    @property
    def enabled(self) -> bool:
        """Whether workspaces have plans."""
        return bool(self.stripe_secret_key.get_secret_value())

    @property
    def live(self) -> bool:
        """Whether the Stripe key is for live mode, not test mode."""
        return "_live_" in self.stripe_secret_key.get_secret_value()


class Slack(SettingsGroup):
    """The Slack app. A client id turns Slack notifications on."""

    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    api: str = Field(default="https://slack.com/api/", pattern=r"^https?://[A-Za-z0-9.\-:]+/api/$")
    authorize: str = Field(default="https://slack.com/oauth/v2/authorize", pattern=r"^https?://[A-Za-z0-9.\-:/]+$")


class Google(SettingsGroup):
    """The OpenID Connect provider. A client id turns "Sign in with Google" on."""

    discovery_url: str = "https://accounts.google.com/.well-known/openid-configuration"
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")


class Rendering(SettingsGroup):
    """Render processes: children of a web process or a render worker."""

    processes: int | None = Field(default=None, ge=0, le=64, description="unset: one per core; 0: none")


# An address to listen on; empty for none.
HostAndPort = Annotated[str, Field(pattern=r"^(|[0-9.]+:[0-9]{1,5})$")]


class Worker(SettingsGroup):
    """Worker processes: `cwz worker` and `cwz render-worker`."""

    concurrency: int = Field(default=0, ge=0, le=64, description="chunks that a render worker takes at once; 0: cores")
    metrics_address: HostAndPort = Field(default="", description="host:port that serves the metrics of `cwz worker`")
    render_metrics_address: HostAndPort = Field(
        default="", description="host:port that serves the metrics of `cwz render-worker`"
    )


class Monitoring(SettingsGroup):
    """Metrics and error reports of the installation."""

    metrics_token: SecretStr = Field(default=SecretStr(""), description="required by /metrics in production")
    sentry_dsn: SecretStr = Field(default=SecretStr(""), description="where errors are reported, besides the log")


class Network(SettingsGroup):
    """Outbound requests."""

    allow: StringTuple = Field(default=(), description="private host:port pairs that outbound requests may reach")
    dns: StringTuple = Field(
        default=(), description="name servers for TXT records: IP addresses, optionally with a port"
    )

    @field_validator("dns")
    @classmethod
    def _check_dns(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            try:
                split_port(server, DNS_PORT)
            except ValueError:
                raise ValueError(f"{server!r} is no IP address, optionally with a port") from None
        return servers


class Plugins(SettingsGroup):
    """Storage plugins."""

    block: StringTuple = Field(default=(), description="names of installed plugins that are not loaded")


class Retention(SettingsGroup):
    """How many days data is kept."""

    audit_days: int = Field(default=730, ge=90, description="the activity log")
    history_days: int = Field(default=365, ge=7, description="feed imports and earlier values of rows")
    delivery_days: int = Field(default=30, ge=4, description="webhook deliveries; they are retried for three days")
    request_days: int = Field(default=7, ge=0, le=30, description="requests to the API; 0 for no log of them")
    usage_days: int = Field(default=1100, ge=60, description="monthly image counts")
    deleted_row_days: int = Field(default=30, ge=1, description="deleted feed rows and uploads")
    export_days: int = Field(default=7, ge=1, description="exports that can be downloaded")


class OperatorBucket(SettingsGroup):
    """A bucket of the operator: a storage provider with its settings and credentials."""

    provider: str = Field(default="", description="the storage provider; empty for none")
    credentials: SecretStr = Field(default=SecretStr(""), description="its credentials, as a JSON object")
    options: dict[str, str] = Field(default_factory=dict, description="its settings, each a key of this group")

    @model_validator(mode="before")
    @classmethod
    def _collect_options(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        own = {name: value for name, value in given.items() if name in cls.model_fields}
        return own | {"options": own.get("options", {}) | {n: v for n, v in given.items() if n not in own}}

    @field_validator("credentials")
    @classmethod
    def _check_json(cls, value: SecretStr) -> SecretStr:
        try:
            found = json.loads(value.get_secret_value() or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError("is not a JSON object of the storage provider's credentials")
        return value


class Backup(OperatorBucket):
    """Where backups are stored; the provider receives copies."""

    folder: Path | None = Field(default=None, description="unset: `backups` in cwz.var")


class IncludedStorage(OperatorBucket):
    """The storage of workspaces that bring none."""

    label: str = Field(default="Included storage", min_length=1, max_length=40, description="its name")


class Operator(SettingsGroup):
    """Who operates the installation: the public pages, and access to /ops."""

    emails: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        default=(), description="email addresses of the accounts that can open /ops"
    )
    name: str = Field(default="", max_length=200)
    address: str = Field(default="", max_length=300)
    contact: EmailOrNothing = Field(default="", description="an email address")
    privacy_contact: EmailOrNothing = Field(default="", description="an email address")
    security_contact: str = Field(
        default="", pattern=r"^$|^[^@\s]+@[^@\s]+$|^https://\S+$", description="an email address or an https URL"
    )
    security_expires: date | None = Field(
        default=None, description="expiry date of security.txt; half a year ahead unless set"
    )
    security_reviewed: date | None = Field(default=None, description="when the security page was last reviewed")
    disclosure_days: int = Field(default=90, ge=1, le=365, description="days until a report may be published")
    certifications: str = Field(
        default="",
        max_length=1000,
        description="certifications on the roadmap, separated by semicolons",
    )
    enterprise_contact: EmailOrNothing = Field(
        default="", description="an email address for security questionnaires and agreements"
    )
    encrypted_volumes: str = Field(
        default="", max_length=200, description="how the volumes of database and backups are encrypted, such as LUKS"
    )
    since: date | None = Field(default=None, description="effective date of the privacy policy and the terms")
    governing_law: str = Field(default="", max_length=200, description="governing law and place of jurisdiction")
    hosting: str = Field(default="", max_length=200, description="the hosting provider and its country")
    processors: str = Field(default="", max_length=2000, description="other subprocessors, separated by semicolons")
    source: str = Field(default="", pattern=r"^$|^https://\S+[^/]$", description="URL of the source code")

    def missing_for(self, page: str) -> list[str]:
        """Return the settings that a page of OPERATOR_PAGES still needs."""
        return [name for name in OPERATOR_PAGES[page] if not getattr(self, name)]

    @field_validator("emails", mode="after")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(email.lower() for email in value)


class Plan(SettingsGroup):
    """The limits of a plan; 0 is unlimited. `prices` are lookup keys of prices in Stripe."""

    label: str = Field(min_length=1, max_length=40)
    images: int = Field(ge=0, description="images per month")
    members: int = Field(ge=0)
    connections: int = Field(ge=0, description="storage connections")
    feeds: int = Field(ge=0)
    uploads: int = Field(default=0, ge=0, description="uploaded images and fonts whose files are stored")
    history_days: int = Field(default=0, ge=0, description="days of feed imports and earlier values of rows")
    prices: StringTuple = ()

    @property
    def image_limit(self) -> int | None:
        """The images per month; None if unlimited."""
        return self.images or None


class CommonSettings(BaseModel):
    """The settings that every process needs."""

    embedded_roles: ClassVar[Mapping[str, str]] = EMBEDDED_ROLES

    environment: Literal["development", "production"] = "production"
    url: str = Field(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$", description="the public URL of the application")
    internal_url: str = Field(default="", description="the URL that workers use; the public URL unless set")
    var: Path = Field(description="the folder for the files of this machine")
    node_modules: Path = Field(description="the installed npm packages: htmx, icons, fonts")
    rendering: Rendering = Rendering()
    worker: Worker = Worker()
    monitoring: Monitoring = Monitoring()
    network: Network = Network()
    plugins: Plugins = Plugins()
    storage: dict[str, dict[str, str]] = Field(default_factory=dict, description="cwz.storage.<provider>.<name>")
    feed_sources: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="cwz.feed_sources.<provider>.<name>"
    )

    @property
    def development(self) -> bool:
        """Whether this is a development installation."""
        return self.environment == "development"

    @property
    def font_folder(self) -> Path:
        """The folder of fontconfig's configuration and cache, and of the workspaces' fonts."""
        return self.var / "fonts"

    @property
    def render_api_url(self) -> str:
        """The base URL at which render workers reach the web application."""
        return self.internal_url or self.url

    @field_validator("url", "internal_url")
    @classmethod
    def _strip_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @classmethod
    def load(cls, ini: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Self:
        """Read the `cwz.` keys of an .ini section, and the environment.

        Raises:
            SettingsError: One line for each setting that is missing, misspelled or invalid.
        """
        tree = _parse_keys(ini)
        if port := environ.get("PORT"):
            _use_port(tree, port)
        secrets_file = tree["secrets"].pop("file", None)
        if secrets_file is not None and tree.get("environment") == "development":
            tree["secrets"] |= _development_secrets(Path(secrets_file))
        if folder := tree["database"].get("embedded"):
            tree["database"] |= _embedded_urls(Path(folder), cls.embedded_roles)
        for setting, variable in ENVIRONMENT.items():
            group, name = setting.split(".")
            if environ.get(variable) and not (group == "database" and folder):
                tree.setdefault(group, {})[name] = environ[variable]
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise SettingsError(_explain(cls, error)) from None


class RenderWorkerSettings(CommonSettings):
    """The settings of `cwz render-worker`: no secrets but the render secret and its database URL."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    embedded_roles: ClassVar[Mapping[str, str]] = {"queue_url": EMBEDDED_ROLES["queue_url"]}

    database: RenderDatabase
    secrets: RenderSecrets


class Settings(CommonSettings):
    """All settings. Keys of the .ini have the prefix `cwz.`; see development.ini and production.ini."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Database
    secrets: Secrets
    mail: Mail = Mail()
    billing: Billing = Billing()
    slack: Slack = Slack()
    google: Google = Google()
    retention: Retention = Retention()
    backup: Backup = Backup()
    included_storage: IncludedStorage = IncludedStorage()
    operator: Operator = Operator()
    demo: bool = Field(default=False, description="create the demo workspace, and offer it on the sign-in page")
    images_per_month: int = Field(default=0, ge=0, description="limit for each workspace without plans; 0: unlimited")
    rate_limits: str = Field(default="memory://", description="where attempts are counted; redis:// for several nodes")
    limit: dict[str, str] = Field(default_factory=dict, description="cwz.limit.<name> = 20 per 10 minutes")
    plan: dict[str, Plan] = Field(default_factory=dict, description="cwz.plan.<name>.<field>", validate_default=True)

    @property
    def image_limit(self) -> int | None:
        """The images that a workspace may render per month without plans; None if unlimited."""
        return self.images_per_month or None

    @property
    def plan_image_limits(self) -> dict[str, int | None] | None:
        """The images per month of each plan; None without billing."""
        return {name: plan.image_limit for name, plan in self.plan.items()} if self.billing.enabled else None

    @property
    def public_pages(self) -> tuple[str, ...]:
        """The public pages that the settings are complete for: pricing, and those of OPERATOR_PAGES."""
        pricing = (PRICING,) if self.billing.enabled else ()
        return pricing + tuple(page for page in OPERATOR_PAGES if not self.operator.missing_for(page))

    @property
    def backup_folder(self) -> Path:
        """The folder of backups."""
        return self.backup.folder or self.var / "backups"

    @field_validator("plan", mode="before")
    @classmethod
    def _merge_plans(cls, given: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        return {name: PLANS.get(name, {}) | given.get(name, {}) for name in [*PLANS, *(set(given) - set(PLANS))]}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        values = [getattr(self.secrets, name).get_secret_value() for name in SECRETS]
        if len(set(values)) != len(values):
            variables = ", ".join(ENVIRONMENT[f"secrets.{name}"] for name in SECRETS)
            raise ValueError(f"each of {variables} needs a value of its own")
        if not self.development and not self.url.startswith("https://"):
            raise ValueError("cwz.url must start with https:// in production")
        if self.mail.transport == "folder" and not self.development:
            raise ValueError("cwz.mail.transport = folder is for development only: no email would be delivered")
        for needed, cause, setting in (
            (self.mail.transport == "resend", "cwz.mail.transport = resend", "mail.resend_api_key"),
            (self.billing.enabled, ENVIRONMENT["billing.stripe_secret_key"], "billing.stripe_webhook_secrets"),
            (self.slack.client_id, "cwz.slack.client_id", "slack.client_secret"),
            (self.google.client_id, "cwz.google.client_id", "google.client_secret"),
        ):
            group, name = setting.split(".")
            if needed and not getattr(getattr(self, group), name).get_secret_value():
                raise ValueError(f"{cause} requires {ENVIRONMENT[setting]}")
        return self


def _require_strong_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) < MIN_SECRET_LENGTH or len(set(text)) < 10:
        raise ValueError(f"is too weak: use at least {MIN_SECRET_LENGTH} random characters")
    return value


def _parse_keys(ini: Mapping[str, str]) -> dict[str, Any]:
    """Return the `cwz.` keys as nested dictionaries: `cwz.mail.sender` is at ["mail"]["sender"]."""
    tree: dict[str, Any] = {"secrets": {}, "database": {}}
    misplaced = []
    for key, value in ini.items():
        if not key.startswith(PREFIX):
            continue
        setting = key.removeprefix(PREFIX)
        if setting in ENVIRONMENT and not setting.startswith("database."):
            misplaced.append(f"{key} (use {ENVIRONMENT[setting]})")
        # The names of rate limits contain dots.
        *groups, name = setting.split(".", 1 if setting.startswith("limit.") else 2)
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"{PREFIX}{group} is a group of settings: use {PREFIX}{group}.<name>")
        branch[name] = value
    if misplaced:
        raise SettingsError(f"Secrets do not belong in an .ini file: {', '.join(misplaced)}")
    return tree


def _use_port(tree: dict[str, Any], port: str) -> None:
    """Put PORT, which the server listens on (server.py), into the URLs that lead directly to it."""
    for name in ("url", "internal_url") if tree.get("environment") == "development" else ("internal_url",):
        if url := tree.get(name):
            parts = urlsplit(url)
            tree[name] = f"{parts.scheme}://{parts.hostname}:{port}"


def _development_secrets(path: Path) -> dict[str, str]:
    """Return the development secrets; they are generated on first use, readable by their owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generated = {name: secrets.token_urlsafe(48) for name in SECRETS} | {"encryption_keys": secrets.token_urlsafe(32)}
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several processes may start at once
        found: dict[str, str] = json.loads(file.read() or "{}")
        if not generated.keys() <= found.keys():  # a release may add a secret
            found = generated | found
            file.seek(0)
            json.dump(found, file)
    return found


def _embedded_urls(folder: Path, roles: Mapping[str, str]) -> dict[str, str]:
    host = socket_directory(folder)
    return {name: f"postgresql://{role}@/cwz?host={host}" for name, role in roles.items()}


def _explain(model: type[CommonSettings], error: ValidationError) -> str:
    lines = ["ConnectWyze cannot start:"]
    for problem in error.errors():
        setting = ".".join(map(str, problem["loc"]))
        name = ENVIRONMENT.get(setting, PREFIX + setting) if setting else ""
        if problem["type"] == "missing":
            place = "the environment" if setting in ENVIRONMENT else "the .ini file"
            description = _description(model, problem["loc"])
            message = f"is missing; set it in {place}{f' ({description})' if description else ''}"
        elif problem["type"] == "extra_forbidden":
            message = "is not a setting of ConnectWyze; check the spelling"
        else:
            message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {name} {message}".rstrip())
    return "\n".join(lines)


def _description(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """Return the description of the field at a path, or nothing below a dictionary."""
    for name in path[:-1]:
        field = model.model_fields.get(str(name))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return ""
        model = field.annotation
    field = model.model_fields.get(str(path[-1]))
    return (field.description or "") if field else ""
