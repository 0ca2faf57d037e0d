"""Bodies that servers compress without being asked."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.net.client import FetchError, ResponseInterruptedError, ResponseTooLargeError
from cwz_web.net.content_encoding import MAX_PART, ContentEncodingError, decode_body
from tests.conftest import RecordingServer
from tests.unit.net.test_client import fetcher_at


def compress(data: bytes, encoding: str) -> bytes:
    if encoding == "bare deflate":
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()
    return zlib.compress(data) if encoding == "deflate" else gzip.compress(data)


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "X-GZIP ", "deflate", "bare deflate"]), st.integers(1, 50))
def test_compressed_body_is_decoded(data: bytes, encoding: str, size: int) -> None:
    parts = split(compress(data, encoding), size)
    assert b"".join(decode_body(parts, encoding.removeprefix("bare "))) == data


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4), st.integers(1, 50))
def test_gzip_members_are_concatenated(members: list[bytes], size: int) -> None:
    parts = split(b"".join(map(gzip.compress, members)), size)
    assert b"".join(decode_body(parts, "gzip")) == b"".join(members)


@given(st.binary(max_size=500), st.sampled_from([None, "", "identity"]), st.integers(1, 50))
def test_other_body_passes_unchanged(data: bytes, encoding: str | None, size: int) -> None:
    assert b"".join(decode_body(split(data, size), encoding)) == data


def test_body_that_is_not_compressed_in_spite_of_its_header_passes_unchanged() -> None:
    assert b"".join(decode_body([b"\x89", b"PNG ", b"data"], "gzip")) == b"\x89PNG data"


@given(st.binary(min_size=1, max_size=400), st.binary(max_size=40), st.sampled_from(["gzip", "deflate"]))
def test_damaged_body_is_decoded_or_rejected(data: bytes, noise: bytes, encoding: str) -> None:
    damaged = compress(data, encoding)[: len(data) // 2] + noise
    with suppress(ContentEncodingError, EOFError):
        b"".join(decode_body([damaged], encoding))


def test_incomplete_body_is_rejected() -> None:
    whole = gzip.compress(bytes(range(256)))
    for cut in (1, 8, 30, len(whole) - 3):
        with pytest.raises(EOFError, match="ends too early"):
            list(decode_body([whole[:-cut]], "gzip"))


def test_bomb_is_decoded_in_small_parts() -> None:
    """A megabyte becomes a gigabyte; the reader stops at its own limit."""
    bomb = gzip.compress(bytes(50_000_000))
    parts = [len(part) for part in decode_body([bomb], "gzip")]
    assert max(parts) <= MAX_PART
    assert sum(parts) == 50_000_000


def test_fetched_body_is_decoded_and_limited(http_server: RecordingServer) -> None:
    headers = {"Content-Encoding": "gzip"}
    http_server.paths["/photo"] = (200, headers, gzip.compress(b"a photo"))
    http_server.paths["/cut"] = (200, headers, gzip.compress(b"a photo")[:-9])
    http_server.paths["/bomb"] = (200, headers, gzip.compress(bytes(3_000_000)))
    http_server.paths["/brotli"] = (200, {"Content-Encoding": "br"}, b"\x0b\x02\x80")
    fetcher = fetcher_at(http_server)
    assert fetcher.get(http_server.url("/photo"), max_bytes=100) == b"a photo"
    with pytest.raises(ResponseTooLargeError):
        fetcher.get(http_server.url("/bomb"), max_bytes=1_000_000)
    with pytest.raises(ResponseInterruptedError):
        fetcher.get(http_server.url("/cut"), max_bytes=100)
    with pytest.raises(FetchError, match="compression “br”, which is not supported"):
        fetcher.get(http_server.url("/brotli"), max_bytes=100)
