"""`cwz mcp`: the MCP server, over the standard streams or over HTTP."""

import logging
import os
import re
from collections.abc import Sequence

import anyio
import click

from cwz_web.logs import configure_logs
from cwz_web.net.installation_urls import check_installation_url

API_KEY = "CWZ_API_KEY"
# The form of keys in our documentation; it only tells a key from something else.
KEY_FORM = re.compile(r"\A[\x21-\x7e]{1,200}\Z")
# Of libraries, which name hosts and methods of callers with each request.
QUIET = ("mcp", "uvicorn", "sse_starlette")


def run(
    url: str, *, http: bool, host: str, port: int, hosts: Sequence[str], origins: Sequence[str], allow_http: bool
) -> None:
    """Serve MCP clients until they close the standard input, or until a signal over HTTP.

    Raises:
        ClickException: The URL or the API key is missing or wrong, or the extra `mcp` is not installed.
    """
    configure_logs(development=False)
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        url = check_installation_url(url, allow_http=allow_http)
    except ValueError as error:
        raise click.ClickException(f"{error} (--url)") from None
    try:
        from cwz_web.mcp.server import serve_http, serve_stdio
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("cwz_web"):
            raise
        raise click.ClickException("Install the extra: pip install 'cwz-web[mcp]'") from None
    if http:
        anyio.run(serve_http, url, host, port, hosts, origins)
        return
    api_key = os.environ.get(API_KEY, "").strip()
    if not KEY_FORM.match(api_key):
        raise click.ClickException(f"Set {API_KEY} to an API key of the installation")
    anyio.run(serve_stdio, url, api_key)
