"""The prompt for the currency of a feed, shown until it is set, on the page of the feed and before a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.columns import FeedSchema
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.price_currency import SuggestedCurrency, find_columns_without_currency, suggest_currency
from cwz_web.feeds.queries import list_items
from cwz_web.feeds.sources import find_source
from cwz_web.i18n import currency_name, gettext, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.runs.mapping import formats_of
from cwz_web.values.currencies import current_currencies
from cwz_web.values.formats import CurrencyCode
from cwz_web.web.forms import Form, read_form, typed_values
from cwz_web.web.request import Request

CURRENCY_FIELD = "feed_currency"
NAMED_COLUMNS = 3
COMMON_CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "CAD", "AUD", "JPY", "INR", "BRL")


class CurrencyForm(Form):
    """The currency of a feed. With `template`, the form is on the page of a new run, whose other fields are kept."""

    model_config = ConfigDict(extra="ignore")

    feed_currency: CurrencyCode
    template: Annotated[str, Field(max_length=40)] = ""


@dataclass(frozen=True)
class CurrencyPrompt:
    """What feeds/_currency.jinja2 shows.

    Attributes:
        columns: The columns with prices that lack a currency, in words.
        suggestion: The currency that the data suggest, or None.
        groups: The names of the currencies by code, in labeled groups.
    """

    columns: str
    suggestion: SuggestedCurrency | None
    groups: Mapping[str, Mapping[str, str]]


def currency_prompt(request: Request, feed: Feed) -> CurrencyPrompt | None:
    """Return the prompt for the currency of a feed; None if its prices name one, or it is known."""
    if feed.currency is not None or not feed.item_count:
        return None
    formats, rows = formats_of(request.db, feed), [item.data for item in list_items(request.db, feed)]
    types = FeedSchema.model_validate(feed.schema).types
    columns = find_columns_without_currency(feed.columns, types, formats, rows)
    if not columns:
        return None
    source = find_source(request.db, feed.workspace_id, feed.id)
    suggestion = suggest_currency(feed.columns, formats, rows, url_of(source))
    return CurrencyPrompt(describe_columns(columns), suggestion, currency_groups())


def url_of(source: FeedSource | None) -> str:
    """Return the URL of a source; "" without one."""
    return source.url if source else ""


def describe_columns(names: list[str]) -> str:
    """Return the names of columns in words, such as “price” and “sale_price”."""
    quoted = [gettext("“%(name)s”", name=name) for name in names[:NAMED_COLUMNS]]
    if more := len(names[NAMED_COLUMNS:]):
        columns = ", ".join(quoted)
        return ngettext("%(columns)s and %(count)s more", "%(columns)s and %(count)s more", more, columns=columns)
    *others, last = quoted
    return gettext("%(columns)s and %(last)s", columns=", ".join(others), last=last) if others else last


def currency_groups() -> dict[str, dict[str, str]]:
    """Return the names of the currencies by code: common ones, and the others."""
    names = {code: f"{code} · {currency_name(code)}" for code in current_currencies()}
    common = {code: names.pop(code) for code in COMMON_CURRENCIES}
    return {gettext("Common currencies"): common, gettext("Other currencies"): names}


@view_config(context=FeedResource, name="currency", request_method="POST", permission=Permission.FEED_EDIT)
def set_currency(context: FeedResource, request: Request) -> Response:
    """Set the currency of a feed, and return to the page with the prompt."""
    feed = context.row
    form = read_form(CurrencyForm, request.POST).value  # no form_view: there is only a select
    if form is None:
        raise HTTPUnprocessableEntity(gettext("Choose the currency of the prices"))
    feed.currency = form.feed_currency
    request.audit("feed.currency", feed.name, currency=feed.currency)
    if not form.template:
        return HTTPSeeOther(request.path_in("feeds", feed.id))
    kept = {name: value for name, value in typed_values(request.POST).items() if name != CURRENCY_FIELD}
    return HTTPSeeOther(f"{request.path_in('runs', 'new')}?{urlencode(kept)}")
