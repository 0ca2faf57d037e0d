"""Sources of a provider, such as a shop: connecting one, and changing its settings and credentials.

The form depends on the provider and has two actions (test and save), and the request's transaction ends before the
test: so these views read it with `read_provider_form` and not with `form_view`, as those of storage do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.feeds.fetch_job import request_fetch, schedule_next_fetch
from cwz_web.feeds.imports import create_feed, resolve_schema
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.provider_sources import (
    SourceInput,
    change_provider_source,
    check_saved_credentials,
    create_source,
    preview_provider,
    saved_credentials,
)
from cwz_web.feeds.providers.contract import FeedSourceProvider, SourceError
from cwz_web.feeds.records import Table
from cwz_web.feeds.schedules import Frequency, Schedule
from cwz_web.feeds.sources import SecretRequiredError
from cwz_web.i18n import gettext
from cwz_web.net.client import FetchError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.views.feed_sources import (
    Preview,
    ScheduleChoices,
    ScheduleFields,
    add_source,
    preview_of,
    schedule_choices,
    source_of,
)
from cwz_web.web.forms import Form, Name, SubmittedForm, empty_form
from cwz_web.web.provider_forms import ProviderField, provider_fields, provider_label, read_provider_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

PAGE = "feeds/provider.jinja2"


class ConnectProviderForm(ScheduleFields):
    """The fields of a new source, whatever its provider."""

    provider: str = ""
    name: Name | Literal[""] = ""
    do: Literal["test", "save"] = "save"


class ChangeProviderForm(Form):
    """The fields of a changed source, whatever its provider."""

    do: Literal["test", "save"] = "save"


@dataclass(frozen=True)
class ProviderPage:
    """Values of feeds/provider.jinja2; `feed` and `schedule` are None where they do not apply.

    `form_errors` are the messages of the form with the labels of their fields.
    """

    feed: Feed | None
    provider: FeedSourceProvider[Any, Any]
    provider_label: str
    provider_help: str
    fields: list[ProviderField]
    form: SubmittedForm[Any]
    form_errors: list[str]
    has_secrets: bool
    schedule: ScheduleChoices | None
    preview: Preview | None


@view_config(
    context=FeedCollection,
    name="connect-source",
    request_method="GET",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
)
def connect_provider_page(context: FeedCollection, request: Request) -> ProviderPage | Response:
    """Show the form that connects a source of the chosen provider, or the choice."""
    provider = request.services.feed_sources.get(request.GET.get("provider", ""))
    if provider is None:
        return HTTPSeeOther(request.path_in("feeds", "new"))
    return _page(request, provider, empty_form())


@view_config(
    context=FeedCollection,
    name="connect-source",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
    rate_limit="feed-source",
)
def connect_provider(context: FeedCollection, request: Request) -> ProviderPage | Response:
    """Fetch the first rows of a source, and show them or create a feed from them."""
    provider = request.services.feed_sources.get(request.POST.get("provider", ""))
    if provider is None:
        raise HTTPUnprocessableEntity(gettext("Choose a shop or a service"))
    form, entered = read_provider_form(provider, request.POST, ConnectProviderForm, has_secrets=False)
    if entered is None or entered.credentials is None:
        return _refuse(request, _page(request, provider, form))
    source_input = SourceInput(provider, entered.settings, entered.credentials)
    release_connection(request)
    try:
        file, sample = _fetch_preview(request, source_input, entered.credentials)
    except FetchError as error:
        return _refuse(request, _page(request, provider, _with_error(form, provider, error)))
    values = entered.form
    if values.do == "test":
        return _page(request, provider, form, sample=sample)
    workspace_id = request.workspace.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.FEEDS)
        feed = create_feed(db, workspace_id, name=values.name or provider.label, file_name="")
        source = create_source(
            request.services.ring, feed, source_input, cron=values.expression, time_zone=values.time_zone
        )
        add_source(db, feed, source, file, request.user.account.id)
        details = {"provider": provider.name, "source": source.file_name}
        record(db, workspace_id, request.actor, "feed.connect", feed.name, details)
    return HTTPSeeOther(request.path_in("feeds", feed.id, "columns"))


@view_config(
    context=FeedResource,
    name="connection",
    request_method="GET",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
)
def provider_source_page(context: FeedResource, request: Request) -> ProviderPage:
    """Show the settings of a source, without its credentials."""
    source = source_of(context.row, request.db)
    return _saved_page(request, context.row, source, _provider_of(request, source))


@view_config(
    context=FeedResource,
    name="connection",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
    rate_limit="feed-source",
)
def change_provider(context: FeedResource, request: Request) -> ProviderPage | Response:
    """Fetch the first rows with other settings or credentials, and show them or save the source."""
    feed, source, account = context.row, source_of(context.row, request.db), request.user.account
    provider, ring, registry = _provider_of(request, source), request.services.ring, request.services.feed_sources
    has_secrets = source.encrypted_secret is not None
    form, entered = read_provider_form(provider, request.POST, ChangeProviderForm, has_secrets=has_secrets)
    if entered is None:
        return _refuse(request, _page(request, provider, form, feed, has_secrets=has_secrets))
    source_input = SourceInput(provider, entered.settings, entered.credentials)
    try:
        if entered.credentials is None:
            check_saved_credentials(registry, source, source_input)
        credentials = entered.credentials or saved_credentials(ring, source, provider)
        release_connection(request)
        _, sample = _fetch_preview(request, source_input, credentials)
        resolve_schema(feed, sample)
    except SecretRequiredError as error:
        return _refuse(request, _secrets_required(request, provider, form, feed, error))
    except (FetchError, InvalidFileError) as error:
        form = _with_error(form, provider, error)
        return _refuse(request, _page(request, provider, form, feed, has_secrets=has_secrets))
    if entered.form.do == "test":
        return _page(request, provider, form, feed, has_secrets=has_secrets, sample=sample)
    with request.services.database.transaction(feed.workspace_id) as db:
        current = db.get_one(FeedSource, (feed.workspace_id, feed.id), with_for_update=True)
        try:
            change_provider_source(registry, ring, current, source_input)
        except SecretRequiredError as error:  # it was changed in the meantime
            return _refuse(request, _secrets_required(request, provider, form, feed, error))
        schedule_next_fetch(current)
        request_fetch(db, db.get_one(Feed, (feed.workspace_id, feed.id)), current, account.id)
        details = {"source": current.file_name, "secrets_replaced": entered.credentials is not None}
        record(db, feed.workspace_id, request.actor, "feed.source", feed.name, details)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


def _provider_of(request: Request, source: FeedSource) -> FeedSourceProvider[Any, Any]:
    """Return the provider of a source. Raises HTTPNotFound if it has none, or its plugin is not installed."""
    provider = request.services.feed_sources.get(source.provider)
    if provider is None:
        raise HTTPNotFound
    return provider


def _fetch_preview(request: Request, entered: SourceInput, credentials: BaseModel) -> Any:
    with request.services.outbound.slot():
        return preview_provider(request.services.feed_sources, entered, credentials)


def _with_error(
    form: SubmittedForm[Any], provider: FeedSourceProvider[Any, Any], error: Exception
) -> SubmittedForm[Any]:
    """Return the form with an error beside the field that is to blame; by default, the first one."""
    names = [*provider.settings_model.model_fields, *provider.credentials_model.model_fields]
    field = error.field if isinstance(error, SourceError) else ""
    return form.with_error(field if field in names else names[0], str(error))


def _secrets_required(
    request: Request, provider: FeedSourceProvider[Any, Any], form: SubmittedForm[Any], feed: Feed, error: Exception
) -> ProviderPage:
    field = next(iter(provider.credentials_model.model_fields))
    return _page(request, provider, form.with_error(field, str(error)), feed, has_secrets=True)


def _refuse(request: Request, page: ProviderPage) -> ProviderPage:
    request.response.status = 422
    return page


def _saved_page(
    request: Request, feed: Feed, source: FeedSource, provider: FeedSourceProvider[Any, Any]
) -> ProviderPage:
    typed = {name: _as_typed(value) for name, value in source.settings.items()}
    form: SubmittedForm[Any] = SubmittedForm(None, {}, typed)
    return _page(request, provider, form, feed, has_secrets=source.encrypted_secret is not None)


def _as_typed(value: object) -> str:
    return "" if value is None else str(value)


def _page(
    request: Request,
    provider: FeedSourceProvider[Any, Any],
    form: SubmittedForm[Any],
    feed: Feed | None = None,
    *,
    has_secrets: bool = False,
    sample: Table | None = None,
) -> ProviderPage:
    fields = [
        *provider_fields(provider.settings_model, secret=False),
        *provider_fields(provider.credentials_model, secret=True),
    ]
    labels: Mapping[str, str] = {field.name: field.label for field in fields}
    schedule = None
    if feed is None:
        schedule = schedule_choices(Schedule(Frequency.DAILY), request.workspace.time_zone)
    return ProviderPage(
        feed=feed,
        provider=provider,
        provider_label=provider_label(provider),
        provider_help=gettext(provider.help) if provider.help else "",
        fields=fields,
        form=form,
        form_errors=[
            gettext("%(field)s: %(message)s", field=labels[name], message=message)
            for name, message in form.errors.items()
            if name in labels
        ],
        has_secrets=has_secrets,
        schedule=schedule,
        preview=preview_of(sample) if sample else None,
    )
