"""Where a feed comes from by itself: a URL, with a secret if it needs one, asked only for what is new."""

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, BinaryIO, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.feeds.file_types import read_sample, spooled, to_line_end
from cwz_web.feeds.limits import MAX_BYTES, SAMPLE, InvalidFileError, Table, size_of
from cwz_web.feeds.models import FeedSource
from cwz_web.net.client import Fetched, Fetcher, FetchError, RequestRefusedError, check_url

SECONDS = 120.0
# A look at what is there answers in this time, with the beginning of a file that is longer.
LOOK_SECONDS = 8.0
LOOK_BYTES = 4 * 1024 * 1024
CHUNK = 1024 * 1024
_header = re.compile(r"\A[A-Za-z][A-Za-z0-9-]{0,59}\Z")
# Headers that say how to talk, not who is talking; and Cookie, which is a browser's.
FORBIDDEN = {"host", "cookie", "connection", "upgrade", "te", "trailer", "expect", "range", "via"}


def _checked_url(url: str) -> str:
    try:
        return str(check_url(url))
    except RequestRefusedError:
        raise ValueError("Use a public address that begins with http:// or https://, without a name in it") from None


def _checked_header(name: str) -> str:
    if name and (
        not _header.match(name) or name.lower() in FORBIDDEN or name.lower().startswith(("content-", "proxy-"))
    ):
        raise ValueError("This header cannot be used; Authorization or X-… are usual")
    return name


class Place(BaseModel):
    """Where a feed is, and how one gets in: with a name and a password, or with a header; the secret is kept apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(max_length=2000), AfterValidator(_checked_url)]
    username: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[str, AfterValidator(_checked_header)] = ""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.username and self.header:
            raise ValueError("Give a user name or a header, not both")
        return self

    @property
    def has_secret(self) -> bool:
        """Whether there is a secret to give."""
        return bool(self.username or self.header)

    def headers(self, secret: str) -> dict[str, str]:
        """The headers that let one in (RFC 7617 for a user name)."""
        if self.header:
            return {self.header: secret}
        if self.username:
            return {"Authorization": f"Basic {base64.b64encode(f'{self.username}:{secret}'.encode()).decode()}"}
        return {}


@dataclass(frozen=True)
class Fresh:
    """What was fetched: the file, or None when it is the same as before; and by what the next time can tell."""

    file: BinaryIO | None
    etag: str | None
    last_modified: str | None
    digest: str


def fetch_source(fetcher: Fetcher, place: Place, secret: str, known: FeedSource | None = None) -> Fresh:
    """Fetch a feed, if it is another than the one that is known. Raises FetchError, which says why not."""
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified} if known else {}
    file = spooled()
    fetched: Fetched = fetcher.fetch(
        place.url,
        headers={name: value for name, value in conditions.items() if value},
        secret_headers=place.headers(secret),
        into=file,
        max_bytes=MAX_BYTES,
        seconds=SECONDS,
    )
    if fetched.data is None:
        if known is None:
            raise FetchError("The server answered that nothing has changed, although it was asked for the first time")
        return Fresh(None, known.etag, known.last_modified, known.digest)
    file.seek(0)
    digest = sha256()
    while part := file.read(CHUNK):
        digest.update(part)
    same = known is not None and known.digest == digest.hexdigest()
    return Fresh(None if same else file, fetched.etag, fetched.last_modified, digest.hexdigest())


def look_at(fetcher: Fetcher, place: Place, secret: str) -> tuple[BinaryIO, Table]:
    """The file at a place, or the beginning of it when it is long, and its first rows.

    Raises FetchError and InvalidFileError, which say why not.
    """
    file = spooled()
    fetched = fetcher.fetch(
        place.url,
        secret_headers=place.headers(secret),
        into=file,
        max_bytes=MAX_BYTES,
        seconds=LOOK_SECONDS,
        enough=LOOK_BYTES,
    )
    if fetched.data is None:
        raise FetchError("The server answered that nothing has changed, although it was asked for the first time")
    too_slow = not fetched.whole and size_of(file) < LOOK_BYTES
    beginning = file if fetched.whole else to_line_end(file)
    try:
        return beginning, read_sample(beginning, SAMPLE)
    except InvalidFileError:
        if too_slow:
            raise FetchError(f"The server is slow: in {LOOK_SECONDS:.0f} seconds not even one whole row came") from None
        raise


def seal(ring: KeyRing, source: FeedSource, secret: str) -> None:
    """Keep a source's secret, bound to its feed."""
    source.sealed = ring.encrypt(secret, *_bound(source.workspace_id, source.feed_id)) if secret else None


def reseal_source(ring: KeyRing, source: FeedSource) -> bool:
    """Encrypt a source's secret with the newest key. Returns whether that was needed. Raises DecryptionError."""
    if source.sealed is None or ring.is_newest(source.sealed):
        return False
    seal(ring, source, ring.decrypt(source.sealed, *_bound(source.workspace_id, source.feed_id)))
    return True


def open_secret(ring: KeyRing, source: FeedSource) -> str:
    """A source's secret. Raises FetchError when it cannot be read any more."""
    if source.sealed is None:
        return ""
    try:
        return ring.decrypt(source.sealed, *_bound(source.workspace_id, source.feed_id))
    except DecryptionError:
        raise FetchError("The password of this feed cannot be read any more; type it in again") from None


def place_of(source: FeedSource) -> Place:
    """Where a source is."""
    return Place(url=source.url, username=source.username, header=source.header)


def find_source(db: Session, workspace_id: UUID, feed_id: UUID) -> FeedSource | None:
    """The source of a feed, if it has one."""
    return db.get(FeedSource, (workspace_id, feed_id))


def _bound(workspace_id: UUID, feed_id: UUID) -> tuple[str, ...]:
    return "feed source", str(workspace_id), str(feed_id)
