"""The .ini file and the environment as one typed, frozen object.

Everything that an operator can set is named here. `Settings.load` fails at start with one message that names
every problem, so that nobody mends a deployment one restart at a time. Secrets never stand in an .ini file: they
come from the environment, or, in development only, from a file that is written on first use.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.db.embedded import socket_directory

PREFIX = "cwz."
SECRETS = ("session_secret", "csrf_secret", "password_pepper", "render_secret", "signing_secret")
OPTIONAL_SECRETS = (
    "session_secret_before",
    "google_client_secret",
    "smtp_password",
    "resend_api_key",
    "stripe_secret_key",
    "stripe_webhook_secrets",
    "sentry_dsn",
    "slack_client_secret",
    "backup_credentials",
    "metrics_token",
)
ENVIRONMENT = {name: f"CWZ_{name.upper()}" for name in (*SECRETS, "encryption_keys", *OPTIONAL_SECRETS)} | {
    "database_url": "DATABASE_URL",
    "database_owner_url": "DATABASE_OWNER_URL",
}
MIN_SECRET_LENGTH = 32
# Keys of the .ini with a name behind them: cwz.limit.<name>.
GROUPS = ("limit", "backup", "operator")
# The plans as they are shipped; `cwz.plan.<name>.<what>` changes one, or adds one. 0 is for any number.
PLANS: dict[str, dict[str, object]] = {
    "free": {"label": "Free", "images": 100, "members": 2, "connections": 1, "feeds": 2, "history": 30},
    "pro": {
        "label": "Pro",
        "images": 10_000,
        "members": 10,
        "connections": 5,
        "feeds": 50,
        "history": 180,
        "prices": "connectwyze_pro_monthly connectwyze_pro_yearly",
    },
    "scale": {
        "label": "Scale",
        "images": 100_000,
        "members": 50,
        "connections": 20,
        "feeds": 500,
        "history": 365,
        "prices": "connectwyze_scale_monthly connectwyze_scale_yearly",
    },
}
FREE = "free"


class SettingsError(Exception):
    """The application cannot start with these settings; the message names each problem."""


class Plan(BaseModel):
    """What a workspace may have; 0 is for any number. `prices` are lookup keys of prices in Stripe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1, max_length=40)
    images: int = Field(ge=0, description="images a month")
    members: int = Field(ge=0)
    connections: int = Field(ge=0, description="connected storages")
    feeds: int = Field(ge=0)
    history: int = Field(default=0, ge=0, description="days of imports and of what rows were before")
    prices: tuple[str, ...] = ()

    @property
    def cap(self) -> int | None:
        """The images a month; None for any number."""
        return self.images or None

    @field_validator("prices", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value


class Operator(BaseModel):
    """Who runs the installation, for its public pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", max_length=200)
    address: str = Field(default="", max_length=300)
    contact: str = Field(default="", pattern=r"^$|^[^@\s]+@[^@\s]+$", description="an email address")
    privacy_contact: str = Field(default="", pattern=r"^$|^[^@\s]+@[^@\s]+$", description="an email address")
    security_contact: str = Field(default="", pattern=r"^$|^[^@\s]+@[^@\s]+$|^https://\S+$", description="or https://…")
    security_expires: date | None = Field(
        default=None, description="until when security.txt holds; half a year unless set"
    )
    since: date | None = Field(default=None, description="from when privacy page and terms hold")
    law: str = Field(default="", max_length=200, description="which law applies, and where the court is")
    hosting: str = Field(default="", max_length=200, description="who runs the servers, and where")
    processors: str = Field(default="", max_length=2000, description="further sub-processors, with ; between them")
    source: str = Field(default="", pattern=r"^$|^https://\S+[^/]$", description="where the source code can be read")


class Settings(BaseModel):
    """What an operator decides. Keys of the .ini carry the prefix `cwz.`; see development.ini and production.ini."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Literal["development", "production"] = "production"
    url: str = Field(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$", description="where people reach the application")
    internal_url: str = Field(default="", description="where workers reach it; the same as url unless set")
    var: Path = Field(description="the folder for everything that this machine keeps")
    node_modules: Path = Field(description="the installed front-end packages: htmx, icons, fonts")
    database_url: SecretStr = Field(description="the application's role: not the owner, bound by row-level security")
    database_owner_url: SecretStr | None = Field(default=None, description="the tables' owner; for `cwz migrate` only")
    embedded_database: Path | None = Field(default=None, description="run PostgreSQL from the wheel in this folder")
    backups: Path | None = Field(default=None, description="the folder of backups; `backups` in cwz.var unless set")
    backup: dict[str, str] = Field(default_factory=dict, description="cwz.backup.provider and its settings")
    backup_credentials: SecretStr = Field(default=SecretStr(""), description="the provider's secrets, as a JSON object")
    keep_audit_days: int = Field(default=730, ge=90, description="how long the activity log goes back")
    keep_history_days: int = Field(default=365, ge=7, description="of imports and of what rows were before")
    keep_deliveries_days: int = Field(default=30, ge=4, description="of messages to webhooks; they are tried for three")
    keep_usage_days: int = Field(default=1100, ge=60, description="how long it is known what a month has made")
    keep_deleted_days: int = Field(default=30, ge=1, description="of the rows of feeds that were deleted")
    keep_exports_days: int = Field(default=7, ge=1, description="how long an export can be downloaded")
    metrics_token: SecretStr = Field(default=SecretStr(""), description="opens /metrics; shut without it in production")
    worker_metrics: str = Field(
        default="", pattern=r"^(|[0-9.]+:[0-9]{1,5})$", description="host:port at which a worker tells its own metrics"
    )
    operators: tuple[str, ...] = Field(default=(), description="email addresses of who may see /ops")
    operator: Operator = Field(default_factory=Operator, description="cwz.operator.<what>: who runs this")
    demo: bool = Field(default=False, description="create the demo workspace, and offer it on the sign-in page")
    plugins_block: tuple[str, ...] = ()
    net_allow: tuple[str, ...] = Field(
        default=(), description="host:port that outbound requests may reach although private"
    )
    images_a_month: int = Field(default=0, ge=0, description="what a workspace may make in a month; 0: any number")
    workers: int = Field(default=0, ge=0, le=64, description="chunks that a worker has at hand at once; 0: one a core")
    rendering_processes: int | None = Field(
        default=None, ge=0, le=64, description="processes that render beside a web process or worker; unset: one a core"
    )
    mail: Literal["folder", "smtp", "resend"] = Field(default="smtp", description="how mail leaves")
    mail_from: str = Field(
        default="ConnectWyze <no-reply@localhost>", max_length=200, pattern=r"^[^\r\n<>]*<[^<>@\s]+@[^<>@\s]+>$"
    )
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    resend_api_key: SecretStr = SecretStr("")
    google_discovery_url: str = "https://accounts.google.com/.well-known/openid-configuration"
    google_client_id: str = Field(default="", description="switches sign-in with Google on")
    google_client_secret: SecretStr = SecretStr("")
    slack_client_id: str = Field(default="", description="switches Slack on")
    slack_client_secret: SecretStr = SecretStr("")
    slack_api: str = Field(default="https://slack.com/api/", pattern=r"^https?://[A-Za-z0-9.\-:]+/api/$")
    slack_authorize: str = Field(
        default="https://slack.com/oauth/v2/authorize", pattern=r"^https?://[A-Za-z0-9.\-:/]+$"
    )
    sentry_dsn: SecretStr = Field(default=SecretStr(""), description="where errors are told, beside the log")
    stripe_secret_key: SecretStr = Field(default=SecretStr(""), description="switches billing on")
    stripe_webhook_secrets: SecretStr = Field(
        default=SecretStr(""), description="of Stripe's endpoint; two between commas while one replaces the other"
    )
    stripe_api: str = Field(default="https://api.stripe.com", pattern=r"^https?://[A-Za-z0-9.\-:]+$")
    stripe_pages: tuple[str, ...] = Field(
        default=("https://checkout.stripe.com", "https://billing.stripe.com"),
        description="where Stripe's own pages are: people are sent nowhere else",
    )
    stripe_tax: bool = Field(default=False, description="let Stripe Tax reckon the tax")
    stripe_trial_days: int = Field(default=0, ge=0, le=730)
    grace_days: int = Field(default=7, ge=0, le=90, description="from a failed payment until a workspace is read-only")
    plan: dict[str, Plan] = Field(default_factory=dict, description="cwz.plan.<name>.<what>", validate_default=True)
    rate_limits: str = Field(default="memory://", description="where attempts are counted; redis:// for several nodes")
    limit: dict[str, str] = Field(default_factory=dict, description="cwz.limit.<name> = 20 per 10 minutes")
    session_secret: SecretStr
    session_secret_before: SecretStr | None = Field(default=None, description="still accepted while it is replaced")
    encryption_keys: SecretStr = Field(description="32 random bytes in base64url; newest first, between commas")
    csrf_secret: SecretStr
    password_pepper: SecretStr
    render_secret: SecretStr
    signing_secret: SecretStr
    storage: dict[str, dict[str, str]] = Field(default_factory=dict, description="cwz.storage.<provider>.<key>")

    @property
    def ring(self) -> KeyRing:
        """The keys for secrets at rest."""
        return KeyRing(parse_keys(self.encryption_keys.get_secret_value()))

    @property
    def billing(self) -> bool:
        """Whether workspaces have plans; else everything runs without limits."""
        return bool(self.stripe_secret_key.get_secret_value())

    @property
    def live_money(self) -> bool:
        """Whether Stripe's key is not one of its test mode."""
        return "_live_" in self.stripe_secret_key.get_secret_value()

    @property
    def development(self) -> bool:
        return self.environment == "development"

    @property
    def cap(self) -> int | None:
        """What a workspace may make in a month; None for any number."""
        return self.images_a_month or None

    @property
    def backup_folder(self) -> Path:
        """Where backups lie."""
        return self.backups or self.var / "backups"

    @property
    def backup_provider(self) -> str:
        """The storage provider that takes copies of backups; empty for none."""
        return self.backup.get("provider", "")

    @property
    def backup_settings(self) -> dict[str, str]:
        """What that provider is set to."""
        return {name: value for name, value in self.backup.items() if name != "provider"}

    @property
    def fonts(self) -> Path:
        """The folder of the fonts' configuration, fontconfig's cache, and the fonts of workspaces."""
        return self.var / "fonts"

    @property
    def plan_caps(self) -> dict[str, int | None] | None:
        """The images a month of each plan; None where there are none."""
        return {name: plan.cap for name, plan in self.plan.items()} if self.billing else None

    @property
    def worker_target(self) -> str:
        """The base URL at which a worker asks for its specification."""
        return self.internal_url or self.url

    @field_validator("url", "internal_url")
    @classmethod
    def _without_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("plan", mode="before")
    @classmethod
    def _with_shipped_plans(cls, given: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        return {name: PLANS.get(name, {}) | given.get(name, {}) for name in [*PLANS, *(set(given) - set(PLANS))]}

    @field_validator("operators", mode="after")
    @classmethod
    def _in_small_letters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(address.lower() for address in value)

    @field_validator("plugins_block", "net_allow", "stripe_pages", "operators", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("encryption_keys")
    @classmethod
    def _usable_keys(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @field_validator("backup_credentials")
    @classmethod
    def _is_object(cls, value: SecretStr) -> SecretStr:
        try:
            found = json.loads(value.get_secret_value() or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError("is not a JSON object of the storage provider's secrets")
        return value

    @field_validator(*SECRETS)
    @classmethod
    def _strong(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) < MIN_SECRET_LENGTH or len(set(text)) < 10:
            raise ValueError(f"is too weak: use at least {MIN_SECRET_LENGTH} random characters")
        return value

    @model_validator(mode="after")
    def _secrets_differ(self) -> Self:
        values = [getattr(self, name).get_secret_value() for name in SECRETS]
        if len(set(values)) != len(values):
            raise ValueError(f"each of {', '.join(ENVIRONMENT[name] for name in SECRETS)} needs a value of its own")
        if not self.development and not self.url.startswith("https://"):
            raise ValueError("cwz.url must begin with https:// in production")
        if self.mail == "resend" and not self.resend_api_key.get_secret_value():
            raise ValueError(f"cwz.mail = resend needs {ENVIRONMENT['resend_api_key']}")
        if self.mail == "folder" and not self.development:
            raise ValueError("cwz.mail = folder is for development: nobody would get a mail")
        if self.billing and not self.stripe_webhook_secrets.get_secret_value():
            raise ValueError(f"{ENVIRONMENT['stripe_secret_key']} needs {ENVIRONMENT['stripe_webhook_secrets']}")
        if self.slack_client_id and not self.slack_client_secret.get_secret_value():
            raise ValueError(f"cwz.slack_client_id needs {ENVIRONMENT['slack_client_secret']}")
        if self.google_client_id and not self.google_client_secret.get_secret_value():
            raise ValueError(f"cwz.google_client_id needs {ENVIRONMENT['google_client_secret']}")
        return self

    @classmethod
    def load(cls, ini: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Self:
        """Read the `cwz.` keys of an .ini section and the environment.

        Raises SettingsError with one line for each setting that is missing, misspelt or unusable.
        """
        given: dict[str, object] = {}
        for key, value in ini.items():
            if key.startswith(f"{PREFIX}storage."):
                provider, _, name = key.removeprefix(f"{PREFIX}storage.").partition(".")
                given.setdefault("storage", {}).setdefault(provider, {})[name] = value  # type: ignore[attr-defined]
            elif key.startswith(f"{PREFIX}plan."):
                plan, _, name = key.removeprefix(f"{PREFIX}plan.").partition(".")
                given.setdefault("plan", {}).setdefault(plan, {})[name] = value  # type: ignore[attr-defined]
            elif (group := key.removeprefix(PREFIX).partition("."))[0] in GROUPS:
                given.setdefault(group[0], {})[group[2]] = value  # type: ignore[index]
            elif key.startswith(PREFIX):
                given[key.removeprefix(PREFIX).replace(".", "_")] = value
        misplaced = [name for name in (*SECRETS, "encryption_keys", *OPTIONAL_SECRETS) if name in given]
        if misplaced:
            names = ", ".join(f"{PREFIX}{name} (use {ENVIRONMENT[name]})" for name in misplaced)
            raise SettingsError(f"Secrets do not belong in an .ini file: {names}")
        if port := environ.get("PORT"):
            _use_port(given, port)
        secrets_file = given.pop("secrets_file", None)
        if isinstance(secrets_file, str) and given.get("environment") == "development":
            given |= _generated_secrets(Path(secrets_file))
        given |= {name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)}
        if isinstance(folder := given.get("embedded_database"), str):
            given |= _embedded_urls(Path(folder))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def _use_port(given: dict[str, object], port: str) -> None:
    """Let PORT, which the server listens on (server.py), stand in the addresses that lead straight to it."""
    for name in ("url", "internal_url") if given.get("environment") == "development" else ("internal_url",):
        if isinstance(url := given.get(name), str):
            parts = urlsplit(url)
            given[name] = f"{parts.scheme}://{parts.hostname}:{port}"


def _generated_secrets(path: Path) -> dict[str, str]:
    """The development secrets, made on first use and readable by their owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {name: secrets.token_urlsafe(48) for name in SECRETS} | {"encryption_keys": secrets.token_urlsafe(32)}
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be first
        found: dict[str, str] = json.loads(file.read() or "{}")
        if not made.keys() <= found.keys():  # a release may bring a new one
            found = made | found
            file.seek(0)
            json.dump(found, file)
    return found


def _embedded_urls(folder: Path) -> dict[str, str]:
    host = socket_directory(folder)
    return {
        role: f"postgresql://{user}@/cwz?host={host}"
        for role, user in (("database_url", "cwz_app"), ("database_owner_url", "cwz_owner"))
    }


def _explain(error: ValidationError) -> str:
    lines = ["ConnectWyze cannot start:"]
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        where = ENVIRONMENT.get(name, PREFIX + ".".join(map(str, problem["loc"]))) if name else ""
        if problem["type"] == "missing" and len(problem["loc"]) > 1:
            what = "is missing; set it in the .ini file"
        elif problem["type"] == "missing":
            place = "the environment" if name in ENVIRONMENT else "the .ini file"
            what = f"is missing; set it in {place} ({Settings.model_fields[name].description or 'a secret of its own'})"
        elif problem["type"] == "extra_forbidden":
            what = "is not a setting of ConnectWyze; is it misspelt?"
        else:
            what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {where} {what}".rstrip())
    return "\n".join(lines)
