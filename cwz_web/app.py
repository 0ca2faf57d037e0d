"""The WSGI application: settings, then one ordered list of includes, each with its reason."""

import structlog
from pyramid.config import Configurator
from pyramid.router import Router
from sqlalchemy.exc import OperationalError

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import pending
from cwz_web.db.programs import PostgresProgramError
from cwz_web.error_reports import configure_error_reports
from cwz_web.logs import configure_logs
from cwz_web.ops.backup_store import BackupStore
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import Permission
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.services import Services

log = structlog.get_logger()


def main(global_config: dict[str, str], **ini: str) -> Router:
    """Create the application of an .ini file (`use = egg:cwz-web`).

    If it cannot start, exit with a message.
    """
    try:
        settings = Settings.load(ini)
        configure_logs(development=settings.development)
        configure_error_reports(settings.monitoring.sentry_dsn.get_secret_value(), settings.environment)
        prepare_database(settings)
        services = Services.start(settings)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    return create_app(services)


def prepare_database(settings: Settings) -> None:
    """Start and migrate the embedded database, or check the schema version of an external one.

    An external database that does not respond does not stop the start: requests are answered with 503 until it does.

    Raises:
        SettingsError: the database does not start, or needs a migration.
    """
    app_url = settings.database.url.get_secret_value()
    if settings.database.embedded:
        try:
            EmbeddedPostgres(settings.database.embedded).start()
        except PostgresProgramError as error:
            raise SettingsError(f"The embedded PostgreSQL does not start. {error}") from None
        if pending(app_url):
            providers = ProviderRegistry.of(settings)
            BackupStore.from_settings(settings, providers, settings.secrets.key_ring).migrate(app_url)
        return
    try:
        needs_migration = pending(app_url)
    except OperationalError:
        log.error("database unreachable")
        return
    if needs_migration:
        raise SettingsError("The database schema is not of this version. Run first: cwz -c production.ini migrate")


def create_app(services: Services) -> Router:
    """Create the WSGI application from the services of the process."""
    config = Configurator(root_factory=Root)
    config.registry["services"] = services
    config.include("cwz_web.web.request")  # the request class
    config.set_default_permission(Permission.VIEW)  # deny by default
    config.include("cwz_web.web.headers")  # outermost, so error responses have the headers too
    config.include("cwz_web.web.request_log")  # one line per request
    config.include("cwz_web.api.request_records")  # the log of API requests
    config.include("cwz_web.web.request_validation")  # reject invalid requests before anything else runs
    config.include("cwz_web.web.transactions")  # request.db
    config.include("cwz_web.security")  # the identity; needs request.db
    config.include("cwz_web.web.csrf")  # needs the identity
    config.include("cwz_web.web.rate_limits")  # limits on attempts
    config.include("cwz_web.web.refusals")  # refused requests in the activity log
    config.include("cwz_web.web.recent_auth")  # fresh proof of identity
    config.include("cwz_web.api.cors")  # CORS for API keys in browsers
    config.include("cwz_web.api.key_limits")  # origins, rate limits and idempotency of API keys
    config.include("cwz_web.web.urls")  # reject paths that continue after their page
    config.include("cwz_web.web.notices")  # what a form has done, and how to undo it
    config.include("cwz_web.web.locales")  # the language of pages
    config.include("cwz_web.web.rendering")  # Jinja2, icons, static files
    config.scan("cwz_web.views")  # the pages
    config.scan("cwz_web.api")  # /v1, /i and /hooks
    return config.make_wsgi_app()
