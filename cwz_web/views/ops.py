"""For machines that look after machines (alive, ready, metrics), and for those who run the installation (`/ops`)."""

import hmac
import platform
from importlib.metadata import version
from typing import Any

import pyvips
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import text

from cwz_web.ops import health
from cwz_web.resources.application import OpsRoot, Root
from cwz_web.resources.permissions import Permission
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request


class RetryForm(Form):
    """Which job."""

    job: int = Field(ge=1)


@view_config(context=Root, name="healthz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def alive(context: Root, request: Request) -> Response:
    """The process answers."""
    return Response(json_body={"status": "ok"})


@view_config(context=Root, name="readyz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def ready(context: Root, request: Request) -> Response:
    """The database answers too (the error view says 503 when it does not), and has our schema."""
    is_ready, said = health.check_readiness(request.db)
    return Response(json_body=said, status=200 if is_ready else 503)


@view_config(context=Root, name="metrics", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def show_metrics(context: Root, request: Request) -> Response:
    """For Prometheus, which has to show its token; without one in the settings there is no such page in production."""
    settings = request.services.settings
    token = settings.monitoring.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "")
    if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    if not token and not settings.development:
        raise HTTPNotFound
    return Response(health.render_metrics(request.db), headers={"Content-Type": CONTENT_TYPE_LATEST})


@view_config(context=OpsRoot, request_method="GET", renderer="ops.jinja2", permission=Permission.OPERATE)
def ops_page(context: OpsRoot, request: Request) -> dict[str, Any]:
    """How the installation is."""
    services, db = request.services, request.db
    settings = services.settings
    return {
        "queues": health.list_queues(db),
        "workers": health.count_workers(db),
        "failed": health.list_failed_jobs(db),
        "stuck": health.list_stuck_jobs(db),
        "backups": health.list_backup_records(db),
        "versions": {
            "ConnectWyze": version("cwz-web"),
            "Python": platform.python_version(),
            "PostgreSQL": db.scalar(text("SELECT current_setting('server_version')")),
            "Schema": db.scalar(text("SELECT version_num FROM alembic_version")),
            "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),
        },
        "switches": {
            "Billing with Stripe": settings.billing.enabled,
            "Slack": services.slack is not None,
            "Sign-in with Google": services.google is not None,
            "Errors to Sentry": bool(settings.monitoring.sentry_dsn.get_secret_value()),
            "Attempts counted for all processes": not settings.rate_limits.startswith("memory"),
            "Copies of backups in a storage": bool(settings.backup.provider),
            "Metrics with a token": bool(settings.monitoring.metrics_token.get_secret_value()),
            "The demo workspace": settings.demo,
        },
        "providers": [provider.label for provider in services.providers],
        "left_out": services.providers.load_errors,
    }


@view_config(context=OpsRoot, name="retry", request_method="POST", permission=Permission.OPERATE)
def retry_form(context: OpsRoot, request: Request) -> Response:
    """Let a job that was given up begin anew."""
    form = read_form(RetryForm, request.POST)
    if form.value is not None:
        health.retry_job(request.db, form.value.job)
    return HTTPSeeOther("/ops")
