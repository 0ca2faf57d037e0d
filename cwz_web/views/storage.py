"""Storage: the list of connections, and adding, testing, changing and deleting one.

A connection form depends on its provider, has two actions (test and save), and ends the request's transaction before
the test: so these views read it with `read_provider_form` and not with `form_view`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, StringConstraints
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.db.session import enter_workspace
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ConnectionCollection, ConnectionResource
from cwz_web.storage.connection_test import (
    Step,
    error_text,
    first_error,
    run_connection_test,
    save_result,
    saved_steps,
    translate_step,
)
from cwz_web.storage.connections import (
    ConnectionInUseError,
    ConnectionUses,
    SecretsRequiredError,
    StorageUsage,
    TemplateUsage,
    create_connection,
    delete_connection,
    enqueue_channel_feeds,
    find_uses,
    list_connections,
    set_default_connection,
    update_connection,
    usage_by_connection,
    usage_by_template,
)
from cwz_web.storage.contract import Bucket, StorageProvider
from cwz_web.storage.image_names import MAX_PATTERN_LENGTH, check_key_pattern
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection, ConnectionState
from cwz_web.storage.public_urls import (
    MAX_BASE_URL_LENGTH,
    PublicAccess,
    check_base_url_policy,
    normalize_base_url,
)
from cwz_web.web.forms import Form, Name, SubmittedForm, empty_form
from cwz_web.web.notices import find_done_notice
from cwz_web.web.provider_forms import (
    ProviderField,
    ProviderInput,
    provider_fields,
    provider_label,
    read_provider_form,
)
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace

LIST = "storage/list.jinja2"
CHOOSE = "storage/choose.jinja2"
FORM = "storage/form.jinja2"
TEST_RESULT = "storage/_test_result.jinja2"
SECRETS_REQUIRED = gettext_noop("Enter the credentials again, because the other settings changed")
NOTICES = {
    "connected": gettext_noop("Storage connected."),
    "changed": gettext_noop("Changes saved."),
    "default": gettext_noop("Default connection changed. New images are stored there."),
    "deleted": gettext_noop("Connection deleted. The objects in the bucket were not changed."),
}
BADGES = {ConnectionState.WORKING: "success", ConnectionState.FAILING: "error", ConnectionState.UNTESTED: ""}
NO_USAGE = StorageUsage(images=0, size=0)


BASE_URL, KEY_PATTERN = "public_base_url", "key_pattern"
BaseUrl = Annotated[str, StringConstraints(max_length=MAX_BASE_URL_LENGTH), AfterValidator(normalize_base_url)]
KeyPattern = Annotated[str, StringConstraints(max_length=MAX_PATTERN_LENGTH), AfterValidator(check_key_pattern)]


class ConnectionForm(Form):
    """The fields of every connection, whatever its provider."""

    connection_name: Name
    public_base_url: BaseUrl = ""
    key_pattern: KeyPattern = ""
    action: Literal["test", "save"] = "save"
    save_anyway: bool = False
    provider: str = ""


@dataclass(frozen=True)
class ConnectionRow:
    """A connection in the list. `provider` is its label; empty when its plugin is not installed.

    `error_message` is that of the last test. `steps` says how far it came, such as “5 of 5 steps”; empty if it was not
    tested.
    """

    connection: Connection
    provider: str
    usage: StorageUsage
    badge: str
    error_message: str
    steps: str


@dataclass(frozen=True)
class ConnectionListPage:
    """The view model of storage/list.jinja2."""

    connections: list[ConnectionRow]
    notice: str | None


@dataclass(frozen=True)
class ProviderListPage:
    """The view model of storage/choose.jinja2: the providers with their labels."""

    providers: list[tuple[StorageProvider[Any, Any], str]]


@dataclass(frozen=True)
class TestStep:
    """A step of a connection test with its icon. `error_message` is None unless it failed."""

    icon: str
    label: str
    has_run: bool
    error_message: str | None


@dataclass(frozen=True)
class ConnectionUsage:
    """What a connection stores, by template, and what is set to it."""

    total: StorageUsage
    templates: list[TemplateUsage]
    uses: ConnectionUses


@dataclass(frozen=True)
class ConnectionPage:
    """The view model of storage/form.jinja2 and of its part, storage/_test_result.jinja2.

    `connection` is None for a new one, `provider` when its plugin is not installed. `form_errors` are the messages of
    the form with the labels of their fields. `saved_steps` and `error_message` are those of the last test of the saved
    connection, `badge` is the class of its state. `usage` is None for a new connection, and for a part of the page.
    """

    form: SubmittedForm[Any]
    provider: StorageProvider[Any, Any] | None
    provider_label: str
    connection: Connection | None
    fields: list[ProviderField]
    form_errors: list[str]
    steps: list[TestStep]
    has_failed: bool
    has_secrets: bool
    saved_steps: list[TestStep]
    error_message: str
    badge: str
    usage: ConnectionUsage | None


@view_config(context=ConnectionCollection, request_method="GET", renderer=LIST, permission=Permission.STORAGE_VIEW)
def connection_list(context: ConnectionCollection, request: Request) -> ConnectionListPage:
    """List the connections with their state and usage."""
    workspace_id = request.workspace.workspace_id
    usage = usage_by_connection(request.db, workspace_id)
    providers = request.services.providers
    rows = [
        ConnectionRow(
            connection=connection,
            provider=provider_label(providers.get(connection.provider)),
            usage=usage.get(connection.id, NO_USAGE),
            badge=BADGES[connection.state],
            error_message=error_text(connection),
            steps=_passed_steps(connection),
        )
        for connection in list_connections(request.db, workspace_id)
    ]
    return ConnectionListPage(rows, find_done_notice(request, NOTICES))


@view_config(
    context=ConnectionCollection,
    name="new",
    request_method="GET",
    renderer=CHOOSE,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def new_connection_page(context: ConnectionCollection, request: Request) -> ProviderListPage | ConnectionPage:
    """Show the providers, or the form of the chosen one."""
    offered = _offered_providers(request, request.db)
    provider = offered.get(request.GET.get("provider", ""))
    is_in_every_plan = provider.name == INCLUDED if provider else INCLUDED in offered
    if not is_in_every_plan:
        check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.CONNECTIONS)
    if provider is None:
        return _provider_list(offered)
    request.override_renderer = FORM
    return _page(provider, empty_form())


@view_config(
    context=ConnectionCollection,
    name="new",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="storage",
    requires_recent_auth=True,
)
def add_connection(context: ConnectionCollection, request: Request) -> ProviderListPage | ConnectionPage | HTTPSeeOther:
    """Test the entered connection, and save it if the test passes."""
    offered = _offered_providers(request, request.db)
    provider = offered.get(request.POST.get("provider", ""))
    if provider is None:
        return _choose_another(request, offered)
    form, entered = _read_form(request, provider, has_secrets=False)
    if entered is None or entered.credentials is None:
        return _respond(request, _page(provider, form))
    workspace_id = request.workspace.workspace_id
    settings, credentials, base_url = entered.settings, entered.credentials, entered.form.public_base_url
    access = PublicAccess.of(base_url, request.services.fetcher, provider)
    steps = _run_test(request, lambda: request.services.providers.open_unsaved(provider, settings, credentials), access)
    if not _is_saved(entered, steps):
        return _respond(request, _page(provider, form, steps=steps))
    with request.services.database.transaction(workspace_id) as db:
        if provider.name != INCLUDED:
            check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.CONNECTIONS)
        else:  # another request may have connected it since
            db.get_one(Workspace, workspace_id, with_for_update=True)
            if INCLUDED not in (offered := _offered_providers(request, db)):
                return _choose_another(request, offered)
        connection = create_connection(
            db,
            workspace_id,
            request.services.ring,
            provider=provider.name,
            name=entered.form.connection_name,
            settings=settings.model_dump(mode="json"),
            secrets=entered.secrets,
            public_base_url=base_url,
            key_pattern=entered.form.key_pattern,
        )
        save_result(connection, steps, base_url)
        details = {"provider": provider.name, "works": connection.error_message is None}
        details |= {BASE_URL: base_url} if base_url else {}
        record(db, workspace_id, request.actor, "storage.connect", connection.name, details)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=connected")


@view_config(context=ConnectionResource, request_method="GET", renderer=FORM, permission=Permission.STORAGE_VIEW)
def connection_page(context: ConnectionResource, request: Request) -> ConnectionPage:
    """Show a connection's form, without its secrets, and its state."""
    return _with_usage(request, _saved_page(request, context.row))


@view_config(
    context=ConnectionResource,
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="storage",
    requires_recent_auth=True,
)
def change_connection(context: ConnectionResource, request: Request) -> ConnectionPage | HTTPSeeOther:
    """Test the changed connection, and save it if the test passes."""
    connection = context.row
    provider = request.services.providers.get(connection.provider)
    if provider is None:
        raise HTTPNotFound
    form, entered = _read_form(request, provider, has_secrets=connection.encrypted_credentials is not None)
    if entered is None:
        return _respond(request, _page(provider, form, connection))
    settings = entered.settings.model_dump(mode="json")
    if entered.credentials is None and settings != connection.settings:
        secret_field = next(iter(provider.credentials_model.model_fields))
        return _respond(request, _page(provider, form.with_error(secret_field, gettext(SECRETS_REQUIRED)), connection))
    base_url = entered.form.public_base_url
    access = PublicAccess.of(base_url, request.services.fetcher, provider)
    steps = _run_test(request, _opener(request, provider, connection, entered), access)
    if not _is_saved(entered, steps):
        return _respond(request, _page(provider, form, connection, steps))
    with request.services.database.transaction(connection.workspace_id) as db:
        current = db.get_one(Connection, (connection.workspace_id, connection.id), with_for_update=True)
        details: dict[str, Any] = {"secrets_replaced": entered.credentials is not None}
        details |= {BASE_URL: base_url} if base_url != current.public_base_url else {}
        pattern = entered.form.key_pattern
        details |= {KEY_PATTERN: pattern} if pattern != current.key_pattern else {}
        former_url = current.proven_base_url
        try:
            update_connection(
                current,
                request.services.ring,
                name=entered.form.connection_name,
                settings=settings,
                secrets=entered.secrets,
                public_base_url=base_url,
                key_pattern=entered.form.key_pattern,
            )
        except SecretsRequiredError:  # another request changed the settings
            form = form.with_error("connection_name", gettext(SECRETS_REQUIRED))
            return _respond(request, _page(provider, form, connection, steps))
        save_result(current, steps, base_url)
        if current.proven_base_url != former_url:
            enqueue_channel_feeds(db, current.workspace_id)
        record(db, current.workspace_id, request.actor, "storage.change", current.name, details)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=changed")


@view_config(
    context=ConnectionResource,
    name="test",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_VIEW,
    rate_limit="storage-test",
)
def run_saved_test(context: ConnectionResource, request: Request) -> ConnectionPage:
    """Test a saved connection, and save the result."""
    connection, providers = context.row, request.services.providers
    base_url = connection.public_base_url
    access = PublicAccess.of(base_url, request.services.fetcher, providers.get(connection.provider))
    steps = _run_test(request, lambda: providers.open(connection.spec), access)
    with request.services.database.transaction(connection.workspace_id) as db:
        current = db.get_one(Connection, (connection.workspace_id, connection.id))
        former_url = current.proven_base_url
        save_result(current, steps, base_url)
        if current.proven_base_url != former_url:
            enqueue_channel_feeds(db, current.workspace_id)
        details = {"works": current.error_message is None}
        record(db, current.workspace_id, request.actor, "storage.test", current.name, details)
    return _respond(request, _saved_page(request, connection, steps), status=200)


@view_config(
    context=ConnectionResource,
    name="default",
    request_method="POST",
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def make_default(context: ConnectionResource, request: Request) -> Response:
    """Store new images in this connection."""
    set_default_connection(request.db, context.row)
    request.audit("storage.default", context.row.name)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=default")


@view_config(
    context=ConnectionResource,
    name="delete",
    request_method="POST",
    renderer=FORM,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def remove_connection(context: ConnectionResource, request: Request) -> ConnectionPage | HTTPSeeOther:
    """Delete a connection, unless something needs it."""
    connection = context.row
    try:
        delete_connection(request.db, connection)
    except ConnectionInUseError as error:
        request.response.status = 422
        page = _saved_page(request, connection)
        return _with_usage(request, replace(page, form=page.form.with_error("delete", str(error))))
    request.audit("storage.delete", connection.name)
    return HTTPSeeOther(f"{request.path_in('storage')}?done=deleted")


def _offered_providers(request: Request, db: Session) -> dict[str, StorageProvider[Any, Any]]:
    """Return the providers of a new connection by name. Included storage is connected once: there is one bucket."""
    connected = {connection.provider for connection in list_connections(db, request.workspace.workspace_id)}
    return {
        provider.name: provider
        for provider in request.services.providers
        if provider.name != INCLUDED or INCLUDED not in connected
    }


def _choose_another(request: Request, offered: dict[str, StorageProvider[Any, Any]]) -> ProviderListPage:
    request.override_renderer = CHOOSE
    request.response.status = 422
    return _provider_list(offered)


def _provider_list(offered: dict[str, StorageProvider[Any, Any]]) -> ProviderListPage:
    return ProviderListPage([(provider, provider_label(provider)) for provider in offered.values()])


def _opener(
    request: Request,
    provider: StorageProvider[Any, Any],
    connection: Connection,
    entered: ProviderInput[ConnectionForm],
) -> Callable[[], Bucket]:
    """Return what opens the bucket: with the new secrets, or, with the same settings, as it is saved."""
    providers, credentials = request.services.providers, entered.credentials
    if credentials is None:
        return lambda: providers.open(connection.spec)
    return lambda: providers.open_unsaved(provider, entered.settings, credentials)


def _read_form(
    request: Request, provider: StorageProvider[Any, Any], *, has_secrets: bool
) -> tuple[SubmittedForm[ConnectionForm], ProviderInput[ConnectionForm] | None]:
    form, entered = read_provider_form(provider, request.POST, ConnectionForm, has_secrets=has_secrets)
    typed = form.typed.get(BASE_URL, "")
    if typed and BASE_URL not in form.errors:
        try:
            check_base_url_policy(normalize_base_url(typed), request.services.provider_outbound)
        except ValueError as error:
            return SubmittedForm(None, form.errors | {BASE_URL: str(error)}, form.typed), None
    return form, entered


def _run_test(request: Request, open_bucket: Callable[[], Bucket], access: PublicAccess | None) -> list[Step]:
    """Test a bucket. The request's transaction ends first: none stays open during network calls."""
    release_connection(request)
    with request.services.outbound.slot():
        return run_connection_test(open_bucket, request.workspace.workspace_id, access)


def _is_saved(entered: ProviderInput[ConnectionForm], steps: list[Step]) -> bool:
    return entered.form.action == "save" and (first_error(steps) is None or entered.form.save_anyway)


def _respond(request: Request, page: ConnectionPage, status: int = 422) -> ConnectionPage:
    """Return the page, or only the result of the test for htmx; with the status if something is wrong."""
    if page.form_errors or page.has_failed:
        request.response.status = status
    if request.headers.get("HX-Request") == "true":
        request.override_renderer = TEST_RESULT
        return page
    enter_workspace(request.db, request.workspace.workspace_id)  # the connection was released
    return _with_usage(request, page)


def _with_usage(request: Request, page: ConnectionPage) -> ConnectionPage:
    connection = page.connection
    if connection is None:
        return page
    total = usage_by_connection(request.db, connection.workspace_id).get(connection.id, NO_USAGE)
    usage = ConnectionUsage(total, usage_by_template(request.db, connection), find_uses(request.db, connection))
    return replace(page, usage=usage)


def _passed_steps(connection: Connection) -> str:
    steps = saved_steps(connection)
    passed = sum(step.has_run and step.error_message is None for step in steps)
    return gettext("%(passed)s of %(steps)s steps passed", passed=passed, steps=len(steps)) if steps else ""


def _saved_page(request: Request, connection: Connection, steps: list[Step] | None = None) -> ConnectionPage:
    typed = {name: str(value) for name, value in connection.settings.items()}
    typed |= {"connection_name": connection.name, BASE_URL: connection.public_base_url}
    typed[KEY_PATTERN] = connection.key_pattern
    provider = request.services.providers.get(connection.provider)
    return _page(provider, SubmittedForm(None, {}, typed), connection, steps)


def _page(
    provider: StorageProvider[Any, Any] | None,
    form: SubmittedForm[Any],
    connection: Connection | None = None,
    steps: list[Step] | None = None,
) -> ConnectionPage:
    fields: list[ProviderField] = []
    if provider is not None:
        fields += provider_fields(provider.settings_model, secret=False)
        fields += provider_fields(provider.credentials_model, secret=True)
    labels = {
        "connection_name": gettext("Name"),
        BASE_URL: gettext("Public base URL"),
        KEY_PATTERN: gettext("Names of images"),
        **{field.name: field.label for field in fields},
    }
    return ConnectionPage(
        form=form,
        provider=provider,
        provider_label=provider_label(provider),
        connection=connection,
        fields=fields,
        form_errors=[
            gettext("%(field)s: %(message)s", field=labels.get(name, name), message=message)
            for name, message in form.errors.items()
        ],
        steps=[_test_step(step) for step in steps or []],
        has_failed=first_error(steps or []) is not None,
        has_secrets=connection is not None and connection.encrypted_credentials is not None,
        saved_steps=[_test_step(step) for step in saved_steps(connection)] if connection else [],
        error_message=error_text(connection) if connection else "",
        badge=BADGES[connection.state] if connection else "",
        usage=None,
    )


def _test_step(saved: Step) -> TestStep:
    step = translate_step(saved)
    icon = "x" if step.error_message else "check"
    return TestStep(icon if step.has_run else "minus", step.label, step.has_run, step.error_message)
