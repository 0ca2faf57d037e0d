"""Google Sheets: the rows of a sheet that is shared with a service account.

Facts from developers.google.com/identity/protocols/oauth2/service-account and
developers.google.com/workspace/sheets/api/reference/rest (spreadsheets.get, spreadsheets.values.get), read on
2026-11-30: a JWT that the account's key signs (RS256, valid for at most an hour) is exchanged for a token; scope
`spreadsheets.readonly`; rows after the last one with a value are left out, as are empty cells at the end of a row.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import (
    FeedSourceProvider,
    SourceContext,
    SourceCredentialsError,
    SourceNotFoundError,
    SourcePermissionError,
)
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.http import Answer, SourceClient, parse_json
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.values import list_of, value_at
from cwz_web.feeds.table_header import column_names
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.plugin_fields import Fields

SERVICE = "Google Sheets"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - no secret
API = "https://sheets.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
TOKEN_SECONDS = 3600
ROWS_PER_REQUEST = 5000
PREVIEW_ROWS = 50
# The quotas are for a minute.
THROTTLED_WAIT = 30.0
_link = re.compile(
    r"(?:https://docs\.google\.com/spreadsheets/(?:u/\d{1,2}/)?d/)?(?P<id>[A-Za-z0-9_-]{20,100})"
    r"(?:/[a-z]{0,20})?(?:[?#&/][A-Za-z0-9=&#?._-]*)?"
)
_gid = re.compile(r"gid=(\d{1,20})")
_INVALID_LINK = gettext_noop(
    "Enter the link of the sheet, as in https://docs.google.com/spreadsheets/d/…, from your browser"
)


def _sheet_link(value: str) -> str:
    match = _link.fullmatch(value)
    if match is None:
        raise ValueError(gettext(_INVALID_LINK))
    gid = _gid.search(value)
    return f"https://docs.google.com/spreadsheets/d/{match['id']}" + (f"#gid={gid[1]}" if gid else "")


class GoogleSheetsSettings(Fields):
    """The spreadsheet, and which of its sheets."""

    spreadsheet: Annotated[str, AfterValidator(_sheet_link)] = Field(
        title=gettext_noop("Link of the sheet"),
        description=gettext_noop("Open the sheet in your browser and copy its URL"),
        examples=["https://docs.google.com/spreadsheets/d/…/edit#gid=0"],
        max_length=500,
    )
    sheet: str = Field(
        default="",
        title=gettext_noop("Name of the sheet"),
        description=gettext_noop("As on its tab. By default the one of the link, or the first one"),
        max_length=100,
    )


class GoogleSheetsCredentials(Fields):
    """The key file of a service account."""

    key: SecretStr = Field(
        title=gettext_noop("Service account key"),
        description=gettext_noop("Paste the JSON key file of a service account"),
        max_length=10_000,
        json_schema_extra={"multiline": True},
    )


class GoogleSheetsProvider(FeedSourceProvider[GoogleSheetsSettings, GoogleSheetsCredentials]):
    """Fetches the rows of a sheet."""

    api_version = 1
    name = "google_sheets"
    label = SERVICE
    summary = gettext_noop("A sheet that is not public, by a service account. For a shared link, choose URL")
    icon = "sheet"
    help = gettext_noop(
        "In the Google Cloud console, turn on the Google Sheets API, and create a service account without a role and a "
        "key of it. Then share the sheet with the email address of the account, as a viewer."
    )
    help_url = "https://developers.google.com/workspace/guides/create-credentials#service-account"
    settings_model = GoogleSheetsSettings
    credentials_model = GoogleSheetsCredentials

    def hosts(self, settings: GoogleSheetsSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the hosts of the API and of its tokens."""
        return [
            urlsplit(operator.get(name) or url).netloc for name, url in (("endpoint", API), ("token_url", TOKEN_URL))
        ]

    def url(self, settings: GoogleSheetsSettings) -> str:
        """Return the URL of the spreadsheet."""
        return settings.spreadsheet

    def fetch(self, context: SourceContext[GoogleSheetsSettings, GoogleSheetsCredentials], rows: RowWriter) -> None:
        """Write the rows below the first one, which has the names of the columns."""
        spreadsheet = _Spreadsheet(context)
        names: list[str] = []
        for cells in spreadsheet.rows():
            texts = [_text(cell) for cell in cells]
            if not names and any(texts):
                names = column_names(texts)
            elif names:
                rows.write(dict(zip(names, texts, strict=False)))
            if rows.is_full:
                return


class _Spreadsheet:
    """One spreadsheet, during one fetch."""

    def __init__(self, context: SourceContext[GoogleSheetsSettings, GoogleSheetsCredentials]) -> None:
        self._context = context
        link = urlsplit(context.settings.spreadsheet)
        self._gid = int(match[1]) if (match := _gid.search(link.fragment)) else None
        self._url = f"{context.operator.get('endpoint') or API}/v4/spreadsheets/{link.path.rpartition('/')[2]}"
        headers = {"Authorization": f"Bearer {_request_token(context)}"}
        self._client = SourceClient(context, SERVICE, headers=headers, throttled_wait=THROTTLED_WAIT)

    def rows(self) -> Iterator[list[Any]]:
        """Yield the cells of each row."""
        title, count = self._find_sheet()
        size = PREVIEW_ROWS if self._context.is_preview else ROWS_PER_REQUEST
        quoted = title.replace("'", "''")
        for first in range(1, count + 1, size):
            area = f"'{quoted}'!{first}:{min(first + size - 1, count)}"
            answer = self._get(f"/values/{quote(area, safe='')}", {"majorDimension": "ROWS"})
            yield from (cells for cells in list_of(value_at(answer.json, "values")) if isinstance(cells, list))
            if self._context.is_preview:
                return

    def _find_sheet(self) -> tuple[str, int]:
        """Return the title and the number of rows of the sheet."""
        fields = "sheets.properties(sheetId,title,hidden,gridProperties.rowCount)"
        answer = self._get("", {"fields": fields})
        sheets = [value_at(sheet, "properties") for sheet in list_of(value_at(answer.json, "sheets"))]
        wanted = self._context.settings.sheet
        for sheet in sheets:
            title, count = value_at(sheet, "title"), value_at(sheet, "gridProperties", "rowCount")
            if not isinstance(title, str) or not isinstance(count, int):
                continue
            if wanted:
                is_wanted = title == wanted
            elif self._gid is not None:
                is_wanted = value_at(sheet, "sheetId") == self._gid
            else:
                is_wanted = not value_at(sheet, "hidden")
            if is_wanted:
                return title, count
        if not sheets:
            raise self._client.invalid_response_error()
        text = gettext("The spreadsheet has no sheet with this name, or it is not a table")
        raise SourceNotFoundError(text, "sheet" if wanted else "spreadsheet")

    def _get(self, path: str, parameters: Mapping[str, str]) -> Answer:
        answer = self._client.request("GET", self._url + path, params=parameters)
        match answer.status:
            case HTTPStatus.OK:
                if not isinstance(answer.json, dict):
                    raise self._client.invalid_response_error()
                return answer
            case HTTPStatus.UNAUTHORIZED:
                raise _key_error()
            case HTTPStatus.FORBIDDEN:
                text = gettext(
                    "The service account may not read this sheet: share it with the account's email address, and turn "
                    "on the Google Sheets API in its project"
                )
                raise SourcePermissionError(text, "spreadsheet")
            case HTTPStatus.NOT_FOUND:
                raise SourceNotFoundError(gettext("Google has no spreadsheet at this link"), "spreadsheet")
        raise self._client.invalid_response_error()


def _request_token(context: SourceContext[GoogleSheetsSettings, GoogleSheetsCredentials]) -> str:
    """Exchange a signed assertion for an access token. The URL of the key file is not used: it could be any."""
    info = parse_json(context.credentials.key.get_secret_value().encode())
    email, private_key = value_at(info, "client_email"), value_at(info, "private_key")
    if value_at(info, "type") != "service_account" or not isinstance(email, str) or not isinstance(private_key, str):
        raise SourceCredentialsError(gettext("This is not the JSON key file of a service account"), "key")
    now = int(time.time())
    claims = {"iss": email, "scope": SCOPE, "aud": TOKEN_URL, "iat": now, "exp": now + TOKEN_SECONDS}
    try:
        assertion = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(private_key))
    except (JoseError, ValueError, TypeError):
        text = gettext("The private key in the key file is not valid; download a new key")
        raise SourceCredentialsError(text, "key") from None
    client = SourceClient(context, SERVICE)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = client.request("POST", context.operator.get("token_url") or TOKEN_URL, data=form)
    if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
        raise _key_error()
    token = value_at(answer.json, "access_token")
    if answer.status != HTTPStatus.OK or not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,4000}", token):
        raise client.invalid_response_error()
    return token


def _key_error() -> SourceCredentialsError:
    return SourceCredentialsError(gettext("Google rejects this key; create a new one and enter it"), "key")


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)


@hookimpl
def cwz_feed_sources() -> list[GoogleSheetsProvider]:
    """Return the provider of this module."""
    return [GoogleSheetsProvider()]
