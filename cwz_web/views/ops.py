"""Health checks and metrics for monitoring, and the operations page of the installation (`/ops`)."""

import hmac
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import pyvips
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import text

from cwz_web.ops import health
from cwz_web.ops.models import BackupRecord
from cwz_web.resources.application import OpsRoot, Root
from cwz_web.resources.permissions import Permission
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request


class RetryForm(Form):
    """The failed job to retry."""

    job: int = Field(ge=1)


@dataclass(frozen=True)
class JobTable:
    """Jobs that need attention."""

    title: str
    jobs: list[health.JobState]
    can_retry: bool


@dataclass(frozen=True)
class OpsPage:
    """What ops.jinja2 shows."""

    queues: list[health.QueueState]
    worker_count: int
    job_tables: list[JobTable]
    backups: list[BackupRecord]
    versions: dict[str, str]
    features: dict[str, bool]
    providers: list[str]
    plugin_errors: Mapping[str, str]


@view_config(context=Root, name="healthz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def healthz(context: Root, request: Request) -> Response:
    """Answer that the process is alive."""
    return Response(json_body={"status": "ok"})


@view_config(context=Root, name="readyz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def readyz(context: Root, request: Request) -> Response:
    """Answer whether the database is available and has our schema; an error view answers 503 if it is not."""
    is_ready, report = health.check_readiness(request.db)
    return Response(json_body=report, status=200 if is_ready else 503)


@view_config(context=Root, name="metrics", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def metrics(context: Root, request: Request) -> Response:
    """Return the metrics for Prometheus. The token is required; without one in the settings, production answers 404."""
    settings = request.services.settings
    token = settings.monitoring.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "")
    if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    if not token and not settings.development:
        raise HTTPNotFound
    return Response(health.render_metrics(request.db), headers={"Content-Type": CONTENT_TYPE_LATEST})


@view_config(context=OpsRoot, request_method="GET", renderer="ops.jinja2", permission=Permission.OPERATE)
def ops_page(context: OpsRoot, request: Request) -> OpsPage:
    """Show the state of the installation: queues, jobs, backups, versions and features."""
    services, db = request.services, request.db
    settings = services.settings
    return OpsPage(
        queues=health.list_queues(db),
        worker_count=health.count_workers(db),
        job_tables=[
            JobTable("Failed jobs", health.list_failed_jobs(db), can_retry=True),
            JobTable("Jobs running for more than an hour", health.list_stuck_jobs(db), can_retry=False),
        ],
        backups=health.list_backup_records(db),
        versions={
            "ConnectWyze": version("cwz-web"),
            "Python": platform.python_version(),
            "PostgreSQL": str(db.scalar(text("SELECT current_setting('server_version')"))),
            "Schema": str(db.scalar(text("SELECT version_num FROM alembic_version"))),
            "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),
        },
        features={
            "Billing with Stripe": settings.billing.enabled,
            "Slack": services.slack is not None,
            "Sign in with Google": services.google is not None,
            "Error reports to Sentry": bool(settings.monitoring.sentry_dsn.get_secret_value()),
            "Shared rate limits": not settings.rate_limits.startswith("memory"),
            "Backup copies in storage": bool(settings.backup.provider),
            "Metrics with a token": bool(settings.monitoring.metrics_token.get_secret_value()),
            "Demo workspace": settings.demo,
        },
        providers=[provider.label for provider in services.providers],
        plugin_errors=services.providers.load_errors,
    )


@view_config(context=OpsRoot, name="retry", request_method="POST", permission=Permission.OPERATE)
def retry_form(context: OpsRoot, request: Request) -> Response:
    """Queue a failed job again. A job that cannot be retried is left as it is."""
    form = read_form(RetryForm, request.POST)
    if form.value is not None:
        health.retry_job(request.db, form.value.job)
    return HTTPSeeOther("/ops")
