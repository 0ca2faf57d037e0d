"""Airtable: the records of a table, by the Web API with a personal access token.

Facts from airtable.com/developers/web/api/list-records and /rate-limits, and support.airtable.com (updated on
2026-08-10), read on 2026-11-30: at most 100 records a page, the next one by `offset`, which is valid for some minutes;
5 requests a second for each base, and after a 429 no request for 30 seconds; scope `data.records:read`. The URLs of
attachments are valid for two hours.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import (
    FeedSourceProvider,
    SourceContext,
    SourceCredentialsError,
    SourceNotFoundError,
    SourcePermissionError,
)
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.http import Answer, SourceClient
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.values import value_at
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.plugin_fields import Fields

SERVICE = "Airtable"
API = "https://api.airtable.com"
PAGE_SIZE = 100
PREVIEW_SIZE = 20
# Less than five requests a second.
PAGE_WAIT = 0.22
THROTTLED_WAIT = 30.0
RECORD_ID = "record_id"
_link = re.compile(
    r"(?:https://airtable\.com/)?(?P<base>app[A-Za-z0-9]{10,20})/(?P<table>tbl[A-Za-z0-9]{10,20})"
    r"(?:/(?P<view>viw[A-Za-z0-9]{10,20}))?(?:[/?][A-Za-z0-9/?=&_%-]*)?"
)
_INVALID_LINK = gettext_noop("Enter the link of the table, as in https://airtable.com/app…/tbl…, from your browser")


def _table_link(value: str) -> str:
    match = _link.fullmatch(value)
    if match is None:
        raise ValueError(gettext(_INVALID_LINK))
    return "/".join(filter(None, ("https://airtable.com", match["base"], match["table"], match["view"])))


class AirtableSettings(Fields):
    """The table, and optionally a view of it."""

    table: Annotated[str, AfterValidator(_table_link)] = Field(
        title=gettext_noop("Link of the table"),
        description=gettext_noop(
            "Open the table in your browser and copy its URL. With a view, only its records are fetched"
        ),
        examples=["https://airtable.com/app…/tbl…/viw…"],
        max_length=500,
    )


class AirtableCredentials(Fields):
    """A personal access token."""

    token: SecretStr = Field(
        title=gettext_noop("Personal access token"),
        description=gettext_noop(
            "Begins with pat. It needs the scope data.records:read and access to this base, and no other"
        ),
        max_length=300,
    )


class AirtableProvider(FeedSourceProvider[AirtableSettings, AirtableCredentials]):
    """Fetches the records of a table of Airtable."""

    api_version = 1
    name = "airtable"
    label = SERVICE
    summary = gettext_noop("The records of a table, or of one of its views")
    icon = "table"
    help = gettext_noop("In Airtable, open Builder hub, Personal access tokens, and create a token.")
    help_url = "https://support.airtable.com/docs/creating-personal-access-tokens"
    group_column = RECORD_ID
    settings_model = AirtableSettings
    credentials_model = AirtableCredentials

    def hosts(self, settings: AirtableSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the host of the API."""
        return [urlsplit(operator.get("endpoint") or API).netloc]

    def url(self, settings: AirtableSettings) -> str:
        """Return the URL of the table."""
        return settings.table

    def fetch(self, context: SourceContext[AirtableSettings, AirtableCredentials], rows: RowWriter) -> None:
        """Write a row for each record."""
        token = context.credentials.token.get_secret_value()
        client = SourceClient(
            context, SERVICE, headers={"Authorization": f"Bearer {token}"}, throttled_wait=THROTTLED_WAIT
        )
        base, table, *view = context.settings.table.removeprefix("https://airtable.com/").split("/")
        url = f"{context.operator.get('endpoint') or API}/v0/{base}/{table}"
        parameters = {"pageSize": str(PREVIEW_SIZE if context.is_preview else PAGE_SIZE)}
        if view:
            parameters["view"] = view[0]
        if since := context.changed_since:
            parameters["filterByFormula"] = f"IS_AFTER(LAST_MODIFIED_TIME(), '{since:%Y-%m-%dT%H:%M:%S}.000Z')"
        seen: set[str] = set()
        while True:
            answer = client.request("GET", url, params=parameters)
            _check(answer, client)
            records = value_at(answer.json, "records")
            if not isinstance(records, list):
                raise client.invalid_response_error()
            for record in records:
                rows.write(_row(record))
            offset = value_at(answer.json, "offset")
            if offset is None or context.is_preview or rows.is_full:
                return
            if not isinstance(offset, str) or offset in seen:
                raise client.invalid_response_error()
            seen.add(offset)
            parameters["offset"] = offset
            client.wait(PAGE_WAIT)


def _check(answer: Answer, client: SourceClient) -> None:
    match answer.status:
        case HTTPStatus.OK:
            return
        case HTTPStatus.UNAUTHORIZED:
            raise SourceCredentialsError(gettext("Airtable rejects this token; create a new one and enter it"), "token")
        case HTTPStatus.FORBIDDEN:
            text = gettext(
                "This token may not read the table: give it the scope data.records:read and access to the base"
            )
            raise SourcePermissionError(text, "token")
        case HTTPStatus.NOT_FOUND:
            raise SourceNotFoundError(gettext("Airtable has no such table, or the token cannot see it"), "table")
    raise client.invalid_response_error()


def _row(record: Any) -> dict[str, Any]:
    row: dict[str, Any] = {RECORD_ID: str(value_at(record, "id") or "")}
    fields = value_at(record, "fields")
    for name, value in fields.items() if isinstance(fields, dict) else ():
        files = [each for each in value if value_at(each, "url")] if isinstance(value, list) else []
        if not files:
            row[name] = value_at(value, "name") or value_at(value, "email") if isinstance(value, dict) else value
            continue
        row[name] = [value_at(file, "url") for file in files]
        for size in ("large", "small"):  # of the first photo, in the sizes that Airtable makes
            row[f"{name} {size}"] = value_at(files[0], "thumbnails", size, "url")
    return row


@hookimpl
def cwz_feed_sources() -> list[AirtableProvider]:
    """Return the provider of this module."""
    return [AirtableProvider()]
