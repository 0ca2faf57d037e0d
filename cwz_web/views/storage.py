"""Storage: a workspace's connections; choosing a provider, its form, the test, the default, removing one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ConnectionCollection, ConnectionResource
from cwz_web.storage.connection_test import Step, first_error, run_connection_test
from cwz_web.storage.connections import (
    ConnectionInUseError,
    SecretsRequiredError,
    create_connection,
    delete_connection,
    list_connections,
    set_default_connection,
    update_connection,
    usage_by_connection,
)
from cwz_web.storage.contract import Bucket, StorageProvider
from cwz_web.storage.models import Connection
from cwz_web.web.forms import Filled, empty_form
from cwz_web.web.provider_forms import Typed, fields_of, read_provider_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

LIST = "storage/list.jinja2"
FORM = "storage/form.jinja2"
STEPS = "storage/_steps.jinja2"
SECRETS_NEEDED = "Type the secrets in again: the connection would point elsewhere"
NEWS = {
    "connected": "The storage is connected.",
    "changed": "The connection is changed.",
    "default": "New images go there from now on.",
    "removed": "The connection is removed. What lies in the bucket stays there.",
}


@view_config(context=ConnectionCollection, request_method="GET", renderer=LIST, permission=Permission.STORAGE_VIEW)
def connection_list(context: ConnectionCollection, request: Request) -> dict[str, Any]:
    """All connections, how they are, and how much they keep."""
    workspace_id = request.workspace.workspace_id
    connections = list_connections(request.db, workspace_id)
    return {
        "connections": [
            (connection, request.services.providers.get(connection.provider)) for connection in connections
        ],
        "stored": usage_by_connection(request.db, workspace_id),
        "news": NEWS.get(request.GET.get("done", "")),
    }


@view_config(
    context=ConnectionCollection,
    name="new",
    request_method="GET",
    renderer="storage/choose.jinja2",
    permission=Permission.STORAGE_MANAGE,
)
def choose_page(context: ConnectionCollection, request: Request) -> dict[str, Any]:
    """The providers as cards; or, once one is chosen, its form."""
    check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.CONNECTIONS)
    provider = request.services.providers.get(request.GET.get("provider", ""))
    if provider is None:
        return {"providers": list(request.services.providers)}
    request.override_renderer = FORM
    return _form_page(provider, empty_form())


@view_config(
    context=ConnectionCollection,
    name="new",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="storage",
)
def new_connection(context: ConnectionCollection, request: Request) -> Any:
    """Test what was typed, and keep it when it works."""
    provider = request.services.providers.get(request.POST.get("provider", ""))
    if provider is None:
        request.override_renderer = "storage/choose.jinja2"
        request.response.status = 422
        return {"providers": list(request.services.providers)}
    form, typed = read_provider_form(provider, request.POST, keeps_secrets=False)
    if typed is None or typed.credentials is None:
        return _again(request, provider, form)
    workspace_id = request.workspace.workspace_id
    settings, credentials = typed.settings, typed.credentials
    steps = _tried(request, lambda: request.services.providers.open_unsaved(provider, settings, credentials))
    if not _may_save(typed, steps):
        return _again(request, provider, form, steps)
    with request.services.database.transaction(workspace_id) as db:
        check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.CONNECTIONS)
        connection = create_connection(
            db,
            workspace_id,
            request.services.ring,
            provider=provider.name,
            name=typed.own.connection_name,
            settings=settings.model_dump(mode="json"),
            secrets=typed.secrets,
        )
        connection.error_message, connection.checked_at = first_error(steps), datetime.now(UTC)
        details = {"provider": provider.name, "works": connection.error_message is None}
        record(db, workspace_id, request.actor, "storage.connect", connection.name, details)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=connected")


@view_config(context=ConnectionResource, request_method="GET", renderer=FORM, permission=Permission.STORAGE_VIEW)
def connection_page(context: ConnectionResource, request: Request) -> dict[str, Any]:
    """One connection: its form, with masks in place of secrets, and its test."""
    connection = context.row
    typed = {"connection_name": connection.name, **{name: str(v) for name, v in connection.settings.items()}}
    form: Filled[Any] = Filled(None, {}, typed)
    return _form_page(request.services.providers.get(connection.provider), form, connection)


@view_config(
    context=ConnectionResource,
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="storage",
)
def change_form(context: ConnectionResource, request: Request) -> Any:
    """Test a change, and keep it when it works."""
    connection = context.row
    provider = request.services.providers.get(connection.provider)
    if provider is None:
        raise HTTPNotFound
    form, typed = read_provider_form(provider, request.POST, keeps_secrets=connection.sealed is not None)
    if typed is None:
        return _again(request, provider, form, connection=connection)
    settings = typed.settings.model_dump(mode="json")
    if typed.credentials is None and settings != connection.settings:
        first = next(iter(provider.credentials_model.model_fields))
        return _again(request, provider, form.with_error(first, SECRETS_NEEDED), connection=connection)
    steps = _tried(request, _opener(request, provider, connection, typed))
    if not _may_save(typed, steps):
        return _again(request, provider, form, steps, connection)
    with request.services.database.transaction(connection.workspace_id) as db:
        kept = db.get_one(Connection, (connection.workspace_id, connection.id), with_for_update=True)
        try:
            update_connection(
                kept,
                request.services.ring,
                name=typed.own.connection_name,
                settings=settings,
                secrets=typed.secrets,
            )
        except SecretsRequiredError:  # somebody else changed it meanwhile
            return _again(request, provider, form.with_error("connection_name", SECRETS_NEEDED), steps, connection)
        kept.error_message, kept.checked_at = first_error(steps), datetime.now(UTC)
        details = {"secrets_replaced": typed.credentials is not None}
        record(db, kept.workspace_id, request.actor, "storage.change", kept.name, details)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=changed")


@view_config(
    context=ConnectionResource,
    name="check",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_VIEW,
    rate_limit="storage",
)
def check_saved(context: ConnectionResource, request: Request) -> dict[str, Any]:
    """Test a connection as it is kept, and note what came of it."""
    connection = context.row
    steps = _tried(request, lambda: request.services.providers.open(connection.spec))
    with request.services.database.transaction(connection.workspace_id) as db:
        kept = db.get_one(Connection, (connection.workspace_id, connection.id))
        kept.error_message, kept.checked_at = first_error(steps), datetime.now(UTC)
        record(db, kept.workspace_id, request.actor, "storage.check", kept.name, {"works": kept.error_message is None})
    typed = {"connection_name": connection.name, **{name: str(v) for name, v in connection.settings.items()}}
    page = _form_page(request.services.providers.get(connection.provider), Filled(None, {}, typed), connection)
    return _steps_alone(request, page | {"steps": steps})


@view_config(context=ConnectionResource, name="default", request_method="POST", permission=Permission.STORAGE_MANAGE)
def default_form(context: ConnectionResource, request: Request) -> Response:
    """Let new images go there."""
    set_default_connection(request.db, context.row)
    request.audit("storage.default", context.row.name)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=default")


@view_config(
    context=ConnectionResource,
    name="remove",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
)
def remove_form(context: ConnectionResource, request: Request) -> Any:
    """Forget a connection, unless something needs it."""
    connection = context.row
    try:
        delete_connection(request.db, connection)
    except ConnectionInUseError as error:
        form: Filled[Any] = Filled(None, {"remove": str(error)}, {"connection_name": connection.name})
        request.response.status = 422
        return _form_page(request.services.providers.get(connection.provider), form, connection)
    request.audit("storage.remove", connection.name)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=removed")


def _opener(
    request: Request, provider: StorageProvider[Any, Any], connection: Connection, typed: Typed
) -> Callable[[], Bucket]:
    """How to open what was typed: with new secrets, or, the settings being the same, as it is kept."""
    providers, credentials = request.services.providers, typed.credentials
    if credentials is None:
        return lambda: providers.open(connection.spec)
    return lambda: providers.open_unsaved(provider, typed.settings, credentials)


def _tried(request: Request, open_bucket: Callable[[], Bucket]) -> list[Step]:
    """Test a bucket. The request's transaction ends first: none stays open across a network call."""
    release_connection(request)
    return run_connection_test(open_bucket, request.workspace.workspace_id)


def _may_save(typed: Typed, steps: list[Step]) -> bool:
    return typed.own.action == "save" and (first_error(steps) is None or typed.own.anyway)


def _again(
    request: Request,
    provider: StorageProvider[Any, Any],
    form: Filled[Any],
    steps: list[Step] | None = None,
    connection: Connection | None = None,
) -> dict[str, Any]:
    """The form with its messages, or what came of the test; alone, for htmx's button."""
    if form.errors or (steps and first_error(steps)):
        request.response.status = 422
    return _steps_alone(request, _form_page(provider, form, connection) | {"steps": steps or []})


def _steps_alone(request: Request, page: dict[str, Any]) -> dict[str, Any]:
    if request.headers.get("HX-Request") == "true":
        request.override_renderer = STEPS
    return page


def _form_page(
    provider: StorageProvider[Any, Any] | None, form: Filled[Any], connection: Connection | None = None
) -> dict[str, Any]:
    return {
        "form": form,
        "provider": provider,
        "connection": connection,
        "settings": fields_of(provider.settings_model, secret=False) if provider else [],
        "credentials": fields_of(provider.credentials_model, secret=True) if provider else [],
        "steps": [],
    }
