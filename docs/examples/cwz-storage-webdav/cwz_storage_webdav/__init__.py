"""Objects on a WebDAV server (RFC 4918): an example of docs/storage-plugins.md."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from pydantic import Field, SecretStr

from cwz_web import storage
from cwz_web.storage.http import HttpClient

URL = r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?$"
# Servers do not keep the content type and cache control of a PUT: they are in a property, with the metadata.
SET = '<propertyupdate xmlns="DAV:"><set><prop><info xmlns="urn:cwz">{}</info></prop></set></propertyupdate>'
GET = '<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><info xmlns="urn:cwz"/></prop></propfind>'
ERRORS = {409: (storage.BucketNotFoundError, "The folder does not exist; check its URL")}


class Settings(storage.Fields):
    url: str = Field(title="URL", description="An existing folder", examples=["https://dav.example.com/a"], pattern=URL)
    username: str = Field(title="User name", description="A user with write access to the folder", max_length=100)


class Credentials(storage.Fields):
    password: SecretStr = Field(title="Password", description="The password of this user", max_length=200)


class WebDavProvider(storage.StorageProvider[Settings, Credentials]):
    api_version = 1
    name = "webdav"
    label = "WebDAV"
    settings_model = Settings
    credentials_model = Credentials

    def hosts(self, settings: Settings, operator: Mapping[str, str]) -> Iterable[str]:
        return [urlsplit(settings.url).netloc]

    def open(self, context: storage.BucketContext[Settings, Credentials]) -> storage.Bucket:
        auth = (context.settings.username, context.credentials.password.get_secret_value())
        return WebDavBucket(HttpClient(context.outbound, context.settings.url, auth=auth, errors=ERRORS))


class WebDavBucket(storage.Bucket):
    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        parents = storage.check_key(key).split("/")[:-1]
        for depth in range(len(parents)):
            with suppress(storage.InvalidSettingsError):  # 405: the folder exists
                self._client.request("MKCOL", "/".join(parents[: depth + 1]))
        self._client.request("PUT", key, data=body, headers={"If-None-Match": "*"} if if_absent else {})
        info = json.dumps([content_type, cache_control, dict(metadata or {})])
        self._client.request("PROPPATCH", key, data=SET.format(escape(info)))

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str) -> Iterator[bytes]:
        return self._client.stream(key)

    def head(self, key: str) -> storage.ObjectInfo:
        return _object_info(key, self._propfind(key, "0")[0])

    def list(self, prefix: str = "") -> Iterator[storage.ObjectInfo]:
        objects = (info for info in self._walk(prefix.rpartition("/")[0]) if info.key.startswith(prefix))
        return iter(sorted(objects, key=lambda info: info.key))

    def delete(self, key: str) -> None:
        with suppress(storage.ObjectNotFoundError):
            self._client.request("DELETE", key)

    def _walk(self, folder: str) -> Iterator[storage.ObjectInfo]:
        try:
            children = self._propfind(folder or None, "1")[1:]
        except storage.ObjectNotFoundError:
            children = self._propfind(None, "0")[1:]  # raises BucketNotFoundError if the folder of the URL is missing
        for child in children:
            name = unquote(child.findtext("{DAV:}href", "")).rstrip("/").rpartition("/")[2]
            key = f"{folder}/{name}".lstrip("/")
            is_folder = child.find(".//{DAV:}collection") is not None
            yield from self._walk(key) if is_folder else [_object_info(key, child)]

    def _propfind(self, key: str | None, depth: str) -> Element:
        return self._client.request_xml("PROPFIND", key, data=GET, headers={"Depth": depth})


def _object_info(key: str, response: Element) -> storage.ObjectInfo:
    info = response.findtext(".//{urn:cwz}info") or '["application/octet-stream", "", {}]'
    return storage.ObjectInfo(key, int(response.findtext(".//{DAV:}getcontentlength") or 0), *json.loads(info))


@storage.hookimpl
def cwz_storage_providers() -> list[WebDavProvider]:
    return [WebDavProvider()]
