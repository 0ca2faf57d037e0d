"""Clients of an installation, with and without asyncio.

`rest` is the client that the functions of the generated package, `connectwyze.rest`, take. It sends requests again
after failures that pass, and raises ApiError for problems. The methods here are for what takes more than a request.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

import attrs
import httpx

from connectwyze.errors import WaitTimeoutError, raise_for_problem
from connectwyze.rest.api.feeds import get_feed_import
from connectwyze.rest.api.images import get_image_request, render_image
from connectwyze.rest.api.runs import get_run
from connectwyze.rest.client import AuthenticatedClient
from connectwyze.rest.models import (
    CreatedImage,
    ImageRequest,
    ImageRequestInfo,
    ImageRequestInfoState,
    ImageSet,
    ImportInfo,
    ImportState,
    RunStatus,
)
from connectwyze.retries import AsyncRetryTransport, RetryPolicy, RetryTransport

USER_AGENT = "connectwyze-python/0.1.0"
FIRST_POLL, MAX_POLL = 0.25, 5.0
WAIT_SECONDS = 3600.0


ModelT = TypeVar("ModelT")
WorkT = TypeVar("WorkT", RunStatus, ImportInfo, ImageRequestInfo)


@dataclass(frozen=True)
class RenderedImage:
    """The bytes of an image.

    Attributes:
        content: the file.
        content_type: its media type, such as `image/png`.
        findings: what is wrong with it, such as `photo_missing;layer="Photo"`.
        is_cached: whether it was rendered before.
    """

    content: bytes
    content_type: str
    findings: list[str]
    is_cached: bool


class Client:
    """A client of an installation.

    Args:
        url: the URL of the installation, such as `https://images.example.com`.
        api_key: the API key; by default, that of the environment variable `CWZ_API_KEY`.
        timeout: the longest time without a byte of the response, in seconds.
        policy: when a request is sent again.

    Attributes:
        rest: the client that the functions of `connectwyze.rest.api` take.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, timeout: float = 60.0, policy: RetryPolicy | None = None
    ) -> None:
        base_url, key = f"{url.rstrip('/')}/v1", _find_key(api_key)
        self.rest = AuthenticatedClient(base_url, key)
        self._http = httpx.Client(
            base_url=base_url,
            headers=_headers(key),
            timeout=timeout,
            transport=RetryTransport(httpx.HTTPTransport(), policy or RetryPolicy()),
            event_hooks={"response": [raise_for_problem]},
        )
        self.rest.set_httpx_client(self._http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def render(self, template: str, data: Mapping[str, Any] | None = None, **options: Any) -> CreatedImage:
        """Render an image, which is stored in the storage of the workspace.

        Args:
            template: the id or slug of the template.
            data: values of its fields.
            options: other members of the request, such as `size` or `format`.

        Raises:
            ValueError: The options ask for several images, or for a dry run.
        """
        body = _one_image(template, data, options)
        return _expect(CreatedImage, render_image.sync(client=self.rest, body=ImageRequest.from_dict(body)))

    def render_set(
        self,
        template: str,
        data: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> ImageSet:
        """Render several images of the same values in one request; they are stored as a whole or not at all.

        Args:
            template: the id or slug of the template.
            data: values of its fields.
            outputs: the members of each image, such as `{"size": "story", "format": "png"}`.
            options: other members of the request, such as `locale`.

        Raises:
            ValueError: The options ask for a dry run.
        """
        body = _request(template, data, {**options, "outputs": outputs})
        return _expect(ImageSet, render_image.sync(client=self.rest, body=ImageRequest.from_dict(body)))

    def render_bytes(self, template: str, data: Mapping[str, Any] | None = None, **options: Any) -> RenderedImage:
        """Render an image and return its bytes; it is not stored, unless `store` says so."""
        body = _one_image(template, data, options)
        return _rendered(self._http.post("/images", json=body, headers={"Accept": "image/*"}))

    def iterate(self, operation: Callable[..., Any], *arguments: Any, **filters: Any) -> Iterator[Any]:
        """Iterate over all pages of a list.

        Args:
            operation: the function of the list, such as `list_images.sync`.
            arguments: its identifiers.
            filters: its other parameters.
        """
        after: dict[str, str] = {}
        while True:
            page = operation(*arguments, client=self.rest, **filters, **after)
            yield from _entries(page)
            if page.next_ is None:
                return
            after = {"after": page.next_}

    def wait_for_run(self, run_id: UUID, *, timeout: float = WAIT_SECONDS) -> RunStatus:
        """Return a run once it has ended.

        Raises:
            WaitTimeoutError: It has not ended after `timeout` seconds.
        """
        return _wait(lambda: get_run.sync(run_id, client=self.rest), timeout)

    def wait_for_import(self, feed_id: UUID, number: int, *, timeout: float = WAIT_SECONDS) -> ImportInfo:
        """Return an import once it has ended, or needs a review.

        Raises:
            WaitTimeoutError: It has not ended after `timeout` seconds.
        """
        return _wait(lambda: get_feed_import.sync(feed_id, number, client=self.rest), timeout)

    def wait_for_image(self, request_id: UUID, *, timeout: float = WAIT_SECONDS) -> ImageRequestInfo:
        """Return a request for an image once the image is ready, or has failed.

        Raises:
            WaitTimeoutError: It has not ended after `timeout` seconds.
        """
        return _wait(lambda: get_image_request.sync(request_id, client=self.rest), timeout)


class AsyncClient:
    """A client of an installation for asyncio. Its arguments are those of `Client`.

    Attributes:
        rest: the client that the functions of `connectwyze.rest.api` take.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, timeout: float = 60.0, policy: RetryPolicy | None = None
    ) -> None:
        async def raise_read(response: httpx.Response) -> None:
            raise_for_problem(response)

        base_url, key = f"{url.rstrip('/')}/v1", _find_key(api_key)
        self.rest = AuthenticatedClient(base_url, key)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=_headers(key),
            timeout=timeout,
            transport=AsyncRetryTransport(httpx.AsyncHTTPTransport(), policy or RetryPolicy()),
            event_hooks={"response": [raise_read]},
        )
        self.rest.set_async_httpx_client(self._http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def render(self, template: str, data: Mapping[str, Any] | None = None, **options: Any) -> CreatedImage:
        """Render an image, as `Client.render` does."""
        body = _one_image(template, data, options)
        return _expect(CreatedImage, await render_image.asyncio(client=self.rest, body=ImageRequest.from_dict(body)))

    async def render_set(
        self,
        template: str,
        data: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> ImageSet:
        """Render several images of the same values in one request, as `Client.render_set` does."""
        body = _request(template, data, {**options, "outputs": outputs})
        return _expect(ImageSet, await render_image.asyncio(client=self.rest, body=ImageRequest.from_dict(body)))

    async def render_bytes(self, template: str, data: Mapping[str, Any] | None = None, **options: Any) -> RenderedImage:
        """Render an image and return its bytes, as `Client.render_bytes` does."""
        body = _one_image(template, data, options)
        return _rendered(await self._http.post("/images", json=body, headers={"Accept": "image/*"}))

    async def iterate(self, operation: Callable[..., Any], *arguments: Any, **filters: Any) -> AsyncIterator[Any]:
        """Iterate over all pages of a list, as `Client.iterate` does; `operation` is such as `list_images.asyncio`."""
        after: dict[str, str] = {}
        while True:
            page = await operation(*arguments, client=self.rest, **filters, **after)
            for entry in _entries(page):
                yield entry
            if page.next_ is None:
                return
            after = {"after": page.next_}

    async def wait_for_run(self, run_id: UUID, *, timeout: float = WAIT_SECONDS) -> RunStatus:
        """Return a run once it has ended, as `Client.wait_for_run` does."""
        return await _wait_async(lambda: get_run.asyncio(run_id, client=self.rest), timeout)

    async def wait_for_import(self, feed_id: UUID, number: int, *, timeout: float = WAIT_SECONDS) -> ImportInfo:
        """Return an import once it has ended or needs a review, as `Client.wait_for_import` does."""
        return await _wait_async(lambda: get_feed_import.asyncio(feed_id, number, client=self.rest), timeout)

    async def wait_for_image(self, request_id: UUID, *, timeout: float = WAIT_SECONDS) -> ImageRequestInfo:
        """Return a request for an image once it has ended, as `Client.wait_for_image` does."""
        return await _wait_async(lambda: get_image_request.asyncio(request_id, client=self.rest), timeout)


def _find_key(api_key: str | None) -> str:
    key = api_key or os.environ.get("CWZ_API_KEY")
    if not key:
        raise ValueError("Give an API key, or set CWZ_API_KEY")
    return key


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "User-Agent": USER_AGENT}


def _request(template: str, data: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request. Raises ValueError for a dry run."""
    if options.get("dry_run"):
        raise ValueError("A dry run renders nothing: use connectwyze.rest.api.images.render_image")
    return {"template": template, "data": dict(data or {}), **options}


def _one_image(template: str, data: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request for one image. Raises ValueError for another one."""
    if options.get("outputs") is not None:
        raise ValueError("Use render_set for several images")
    return _request(template, data, options)


def _expect(model: type[ModelT], returned: object) -> ModelT:
    """Return what the server returned, if it is what was requested. Raises TypeError."""
    if not isinstance(returned, model):
        raise TypeError(f"The server returned {type(returned).__name__} in place of {model.__name__}")
    return returned


def _rendered(response: httpx.Response) -> RenderedImage:
    findings = [each.strip() for each in response.headers.get("Findings", "").split(",") if each.strip()]
    is_cached = response.headers.get("Cached") == "true"
    return RenderedImage(response.content, response.headers["Content-Type"], findings, is_cached)


def _entries(page: Any) -> list[Any]:
    """Return the entries of a page: its first list."""
    return next(
        value for value in (getattr(page, each.name) for each in attrs.fields(type(page))) if isinstance(value, list)
    )


def _has_ended(work: RunStatus | ImportInfo | ImageRequestInfo) -> bool:
    if isinstance(work, ImportInfo):
        return work.state != ImportState.QUEUED
    if isinstance(work, ImageRequestInfo):
        return work.state != ImageRequestInfoState.PENDING
    return work.finished_at is not None


def _intervals(timeout: float) -> Iterator[float]:
    """Yield the seconds to wait between looks, which grow.

    Raises:
        WaitTimeoutError: `timeout` seconds are over.
    """
    end, interval = time.monotonic() + timeout, FIRST_POLL
    while (left := end - time.monotonic()) > 0:
        yield min(interval, left)
        interval = min(interval * 1.5, MAX_POLL)
    raise WaitTimeoutError(f"The work has not ended after {timeout:g} seconds. It goes on.")


def _wait(look: Callable[[], WorkT], timeout: float) -> WorkT:
    for seconds in _intervals(timeout):
        work = look()
        if _has_ended(work):
            return work
        time.sleep(seconds)
    raise AssertionError("unreachable")


async def _wait_async(look: Callable[[], Awaitable[WorkT]], timeout: float) -> WorkT:
    for seconds in _intervals(timeout):
        work = await look()
        if _has_ended(work):
            return work
        await asyncio.sleep(seconds)
    raise AssertionError("unreachable")
