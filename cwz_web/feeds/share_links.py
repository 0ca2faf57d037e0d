"""Share links: the URL of the file behind a link that people copy from Google Sheets and similar services."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

_sheet = re.compile(r"/spreadsheets/(?:u/\d+/)?d/(?P<id>[\w-]{20,100})(?:/(?:edit|view|preview|htmlview|copy))?/?")
_published_sheet = re.compile(r"/spreadsheets/(?:u/\d+/)?d/e/(?P<id>[\w-]{20,200})/(?:pubhtml|pub)(?:/sheet)?/?")
_drive_file = re.compile(r"/file/(?:u/\d+/)?d/(?P<id>[\w-]{20,100})(?:/(?:view|edit|preview))?/?")
_github_file = re.compile(r"/(?P<repository>[\w.-]+/[\w.-]+)/(?:blob|raw)/(?P<path>.+)")
_sheet_number = re.compile(r"gid=(\d{1,20})\Z")


def file_url(url: str) -> str:
    """Return the URL of the file that a share link leads to; other URLs as they are.

    A link to a sheet of Google Sheets becomes its export as CSV, one to a published sheet its publication as CSV, and
    a link to a file on Google Drive, Dropbox or GitHub its download.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # not a URL
        return url
    convert = _CONVERSIONS.get((parts.hostname or "").removeprefix("www."))
    found = convert(parts.path, parts.query, parts.fragment) if convert and parts.scheme in ("http", "https") else None
    return found or url


def download_domain(host: str) -> str | None:
    """Return the domain that a service redirects its downloads to, or None for any other host."""
    return _DOWNLOAD_DOMAINS.get(host.lower().removeprefix("www."))


def _google_sheet(path: str, query: str, fragment: str) -> str | None:
    parameters = parse_qs(query)
    number = _sheet_number.search(fragment) or _sheet_number.search(f"gid={parameters.get('gid', [''])[-1]}")
    if match := _published_sheet.fullmatch(path):
        if parameters.get("output", ["html"])[-1] not in ("html", "pdf"):
            return None
        sheet = {"gid": number[1], "single": "true"} if number else {}
        return f"https://docs.google.com/spreadsheets/d/e/{match['id']}/pub?{urlencode({'output': 'csv', **sheet})}"
    if match := _sheet.fullmatch(path):
        wanted = {"format": "csv", "gid": number[1] if number else "", "resourcekey": _last(parameters, "resourcekey")}
        exported = urlencode({name: value for name, value in wanted.items() if value})
        return f"https://docs.google.com/spreadsheets/d/{match['id']}/export?{exported}"
    return None


def _drive(path: str, query: str, fragment: str) -> str | None:
    parameters = parse_qs(query)
    match = _drive_file.fullmatch(path)
    file = match["id"] if match else _last(parameters, "id") if path == "/open" else ""
    wanted = {"export": "download", "id": file, "resourcekey": _last(parameters, "resourcekey")}
    download = urlencode({name: value for name, value in wanted.items() if value})
    return f"https://drive.google.com/uc?{download}" if file else None


def _dropbox(path: str, query: str, fragment: str) -> str | None:
    parameters = [part for part in query.split("&") if part and not part.startswith("dl=")]
    return (
        f"https://www.dropbox.com{path}?{'&'.join([*parameters, 'dl=1'])}"
        if path.startswith(("/s/", "/scl/"))
        else None
    )


def _github(path: str, query: str, fragment: str) -> str | None:
    match = _github_file.fullmatch(path)
    return f"https://raw.githubusercontent.com/{match['repository']}/{match['path']}" if match else None


def _last(parameters: dict[str, list[str]], name: str) -> str:
    return parameters.get(name, [""])[-1]


# The domains that the files of a service are downloaded from.
_DOWNLOAD_DOMAINS = {
    "docs.google.com": "googleusercontent.com",
    "drive.google.com": "googleusercontent.com",
    "dropbox.com": "dropboxusercontent.com",
    "github.com": "githubusercontent.com",
}

_CONVERSIONS: dict[str, Callable[[str, str, str], str | None]] = {
    "docs.google.com": _google_sheet,
    "drive.google.com": _drive,
    "dropbox.com": _dropbox,
    "github.com": _github,
}
