"""The settings of a feed: its name, its currency, its automatic runs, and its deletion."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.runs.auto_runs import auto_runs_of, find_auto_run, stop_auto_run
from cwz_web.runs.models import AutoRun
from cwz_web.views.feed_currency import currency_groups
from cwz_web.views.feed_page import FeedPage, FeedTab, shared_values
from cwz_web.web.forms import Form, Name, OptionalCurrency, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

PAGE = "feeds/settings.jinja2"


class SettingsForm(Form):
    """A feed's name, its currency, and the share of its rows that an import may remove without a review."""

    name: Name
    currency: OptionalCurrency = None
    max_removed_percent: Annotated[int, Field(ge=0, le=100)]


class StopAutoRunForm(Form):
    """The template of the automatic run to stop."""

    template: UUID


@dataclass(frozen=True, kw_only=True)
class SettingsPage(FeedPage):
    """Values of feeds/settings.jinja2."""

    form: SubmittedForm[Any]
    currencies: Mapping[str, Mapping[str, str]]
    auto_runs: list[tuple[AutoRun, Template]]


def _page(context: FeedResource, request: Request, form: SubmittedForm[Any]) -> SettingsPage:
    return SettingsPage(
        **shared_values(request, context.row, FeedTab.SETTINGS),
        form=form,
        currencies=currency_groups(),
        auto_runs=auto_runs_of(request.db, context.row),
    )


@view_config(context=FeedResource, name="settings", request_method="GET", renderer=PAGE, permission=Permission.VIEW)
def show_settings(context: FeedResource, request: Request) -> SettingsPage:
    """Show the settings of a feed."""
    return _page(context, request, empty_form())


@form_view(SettingsForm, _page, context=FeedResource, name="settings", renderer=PAGE, permission=Permission.FEED_EDIT)
def save_settings(context: FeedResource, request: Request, form: SettingsForm) -> Response:
    """Save the settings of a feed."""
    feed, details = context.row, form.model_dump(exclude={"name"})
    request.audit("feed.settings", feed.name, to=form.name, **details)
    feed.name, feed.max_removed_percent, feed.currency = form.name, form.max_removed_percent, form.currency
    return _to_settings(request, context)


@view_config(context=FeedResource, name="stop-auto-run", request_method="POST", permission=Permission.RUN_START)
def stop_auto_run_of_feed(context: FeedResource, request: Request) -> Response:
    """Stop rendering the changes of a feed with a template."""
    form = read_form(StopAutoRunForm, request.POST)  # no form_view: there is no field to correct
    auto = find_auto_run(request.db, context.row, form.value.template) if form.value else None
    if auto is None:
        raise HTTPUnprocessableEntity(gettext("This template is not rendered automatically for the feed"))
    stop_auto_run(request.db, auto)
    request.audit("auto_run.disable", context.row.name, template=str(auto.template_id))
    return _to_settings(request, context)


@view_config(context=FeedResource, name="delete", request_method="POST", permission=Permission.FEED_EDIT)
def delete_feed(context: FeedResource, request: Request) -> Response:
    """Delete a feed. It can be restored from its page."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("feed.delete", context.row.name)
    text = gettext("Deleted “%(name)s”.", name=context.row.name)
    add_notice(request, text, undo=request.path_in("feeds", context.row.id, "restore"))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="restore", request_method="POST", permission=Permission.FEED_EDIT)
def restore_feed(context: FeedResource, request: Request) -> Response:
    """Restore a deleted feed."""
    if context.row.deleted_at is not None:
        check_plan_limit(request.db, request.services.settings, context.row.workspace_id, PlanLimit.FEEDS)
    context.row.deleted_at = None
    request.audit("feed.restore", context.row.name)
    text = gettext("Restored “%(name)s”.", name=context.row.name)
    add_notice(request, text, undo=request.path_in("feeds", context.row.id, "delete"))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


def _to_settings(request: Request, context: FeedResource) -> Response:
    return HTTPSeeOther(request.path_in("feeds", context.row.id, "settings"))
