"""A conformance suite for storage plugins, in pytest. A plugin's tests name their provider, and run all of it:

    class TestMine(StorageConformance):
        @pytest.fixture
        def opened(self): return Opened(MyProvider(), settings={...}, credentials={...}, operator={...}, allow=[...])

        @pytest.fixture
        def break_with(self, opened): return lambda kind: a bucket that is broken in that way

A capability that is declared is tested; one that is not is seen to be refused plainly.
"""

import copy
import io
import logging
import os
import pickle
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import requests
from pydantic import BaseModel

from cwz_web.net.guard import Outbound
from cwz_web.storage.contract import (
    API_VERSION,
    Bucket,
    BucketNotFoundError,
    Capability,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectNotFoundError,
    Opening,
    PermissionDeniedError,
    StorageError,
    StorageProvider,
    StorageUnreachableError,
)

MIB = 1024 * 1024
TYPE = "image/png"
HOSTILE_KEYS = ("", "/", "/etc/passwd", "../up", "a/../b", "a//b", "a/./b", "a\\b", "a/", "a\x00b", "a\nb", "x" * 1025)
ODD_KEYS = (
    "a b/ü.png",
    "日本語/絵.png",
    "plus+and%25percent.png",
    "q?x=1&y=#f.png",
    "'quotes\".png",
    "emoji-🎉.png",
    "~tilde",
)
# What can be wrong, and the error that says so. `break_with` makes each of them happen.
BROKEN: dict[str, type[StorageError]] = {
    "credentials": InvalidCredentialsError,
    "bucket": BucketNotFoundError,
    "permission": PermissionDeniedError,
    "down": StorageUnreachableError,
}


@dataclass(frozen=True)
class Opened:
    """A provider, and everything that its bucket is opened with for the tests."""

    provider: StorageProvider
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    operator: Mapping[str, str] = field(default_factory=dict)
    allow: Iterable[str] = ()

    def bucket(self, **changed: Mapping[str, Any]) -> Bucket:
        """Open it, with other settings, credentials or operator's keys where given."""
        operator = {**self.operator, **changed.get("operator", {})}
        settings = self.provider.settings_model.model_validate({**self.settings, **changed.get("settings", {})})
        typed = {**self.credentials, **changed.get("credentials", {})}
        credentials = self.provider.credentials_model.model_validate(typed)
        allow = [*self.allow, *changed.get("allow", ())]
        outbound = Outbound(self.provider.hosts(settings, operator), allow)
        return self.provider.open(Opening(settings, credentials, operator, outbound))

    @contextmanager
    def worker_session(self) -> Iterator[requests.Session]:
        """How a worker uses a signed address: it reaches the hosts that the provider declares, and no others."""
        settings = self.provider.settings_model.model_validate(self.settings)
        with requests.Session() as session:
            yield Outbound(self.provider.hosts(settings, self.operator), self.allow).guard(session)


class StorageConformance:
    """What every storage provider has to do. Subclass it in a plugin's tests, and override the two fixtures.

    `many` is a number of objects that the provider does not list at once.
    """

    many: ClassVar[int] = 1005

    @pytest.fixture
    def opened(self) -> Opened:
        """The provider under test. Override it."""
        raise NotImplementedError("override the fixture `opened`")

    @pytest.fixture
    def break_with(self, opened: Opened) -> Callable[[str], Bucket]:
        """A function from a kind of BROKEN to a bucket that is broken in that way. Override it.

        Raise pytest.skip.Exception only for what cannot happen to this kind of storage, and say why.
        """
        raise NotImplementedError("override the fixture `break_with`")

    @pytest.fixture
    def bucket(self, opened: Opened) -> Bucket:
        return opened.bucket()

    @pytest.fixture
    def folder(self, bucket: Bucket) -> Iterator[str]:
        """A prefix of this test's own; what lies below it is removed afterwards."""
        prefix = f"conformance/{secrets.token_hex(6)}"
        yield prefix
        bucket.delete_many([info.key for info in bucket.list(f"{prefix}/")])

    def can(self, opened: Opened, capability: Capability) -> bool:
        return capability in opened.provider.capabilities

    # -- what a provider says of itself --------------------------------------------------------------------------

    def test_it_is_a_provider_of_this_contract(self, opened: Opened) -> None:
        assert isinstance(opened.provider, StorageProvider)
        assert opened.provider.api_version == API_VERSION
        assert opened.provider.label
        assert opened.provider.capabilities <= set(Capability)

    def test_its_bucket_is_a_bucket(self, bucket: Bucket) -> None:
        assert isinstance(bucket, Bucket)

    def test_unknown_settings_are_refused(self, opened: Opened) -> None:
        for model in (opened.provider.settings_model, opened.provider.credentials_model):
            with pytest.raises(ValueError, match="nobody_has_this"):
                model.model_validate({"nobody_has_this": "x"})

    def test_a_form_can_be_made_of_its_fields(self, opened: Opened) -> None:
        for model in (opened.provider.settings_model, opened.provider.credentials_model):
            for name, told in model.model_fields.items():
                assert told.title, f"{name} has no title"
                assert told.description, f"{name} has no description"

    def test_it_declares_where_it_goes(self, opened: Opened) -> None:
        settings = opened.provider.settings_model.model_validate(opened.settings)
        for host in opened.provider.hosts(settings, {}):
            assert host == host.lower()
            assert "/" not in host
            assert "*" not in host

    # -- the basics ----------------------------------------------------------------------------------------------

    def test_round_trip(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a.png", b"image", content_type=TYPE)
        assert bucket.get(f"{folder}/a.png") == b"image"

    def test_an_empty_object(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/empty", b"", content_type=TYPE)
        assert bucket.get(f"{folder}/empty") == b""
        assert bucket.head(f"{folder}/empty").size == 0
        assert b"".join(bucket.stream(f"{folder}/empty")) == b""

    def test_every_byte(self, bucket: Bucket, folder: str) -> None:
        body = bytes(range(256)) * 40
        bucket.put(f"{folder}/bytes", body, content_type=TYPE)
        assert bucket.get(f"{folder}/bytes") == body

    def test_twenty_mebibytes_at_once(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20
        bucket.put(f"{folder}/large", body, content_type=TYPE)
        assert bucket.get(f"{folder}/large") == body

    def test_twenty_mebibytes_as_a_stream(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20 + b"end"
        bucket.put(f"{folder}/stream", io.BytesIO(body), content_type=TYPE)
        assert bucket.head(f"{folder}/stream").size == len(body)
        assert b"".join(bucket.stream(f"{folder}/stream")) == body

    def test_a_stream_is_left_before_its_end(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20
        bucket.put(f"{folder}/left", body, content_type=TYPE)
        for _ in range(40):  # were connections lost, there would be none by then
            assert body.startswith(next(bucket.stream(f"{folder}/left")))
        assert bucket.head(f"{folder}/left").size == len(body)

    def test_a_short_and_an_empty_stream(self, bucket: Bucket, folder: str) -> None:
        for body in (b"", b"short"):
            bucket.put(f"{folder}/short", io.BytesIO(body), content_type=TYPE)
            assert bucket.get(f"{folder}/short") == body

    def test_what_is_known_of_an_object(self, bucket: Bucket, folder: str) -> None:
        told = {"template": "card", "row-7": "value"}
        bucket.put(f"{folder}/a", b"12345", content_type=TYPE, cache_control="max-age=60", metadata=told)
        info = bucket.head(f"{folder}/a")
        assert (info.key, info.size, info.content_type) == (f"{folder}/a", 5, TYPE)
        assert info.cache_control == "max-age=60"
        assert dict(info.metadata) == told

    def test_putting_again_replaces_everything(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a", b"one", content_type=TYPE, metadata={"old": "yes"})
        bucket.put(f"{folder}/a", b"second", content_type="text/plain")
        info = bucket.head(f"{folder}/a")
        assert (bucket.get(f"{folder}/a"), info.content_type, dict(info.metadata)) == (b"second", "text/plain", {})

    def test_putting_only_if_absent(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a", b"first", content_type=TYPE, if_absent=True)
        with pytest.raises(ObjectExistsError):
            bucket.put(f"{folder}/a", b"second", content_type=TYPE, if_absent=True)
        assert bucket.get(f"{folder}/a") == b"first"

    def test_deleting(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a", b"x", content_type=TYPE)
        bucket.delete(f"{folder}/a")
        with pytest.raises(ObjectNotFoundError):
            bucket.get(f"{folder}/a")

    def test_deleting_twice_is_no_error(self, bucket: Bucket, folder: str) -> None:
        bucket.delete(f"{folder}/never")
        bucket.delete(f"{folder}/never")

    def test_deleting_many(self, bucket: Bucket, folder: str) -> None:
        keys = [f"{folder}/{number}" for number in range(12)]
        for key in keys:
            bucket.put(key, b"x", content_type=TYPE)
        bucket.delete_many([*keys[:10], f"{folder}/never"])
        assert [info.key for info in bucket.list(f"{folder}/")] == sorted(keys[10:])
        bucket.delete_many([])

    @pytest.mark.parametrize("what", ["get", "head", "stream"])
    def test_what_is_not_there(self, bucket: Bucket, folder: str, what: str) -> None:
        with pytest.raises(ObjectNotFoundError):
            getattr(bucket, what)(f"{folder}/never")

    # -- keys ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", ODD_KEYS)
    def test_odd_keys_are_kept_as_they_are(self, bucket: Bucket, folder: str, name: str) -> None:
        key = f"{folder}/{name}"
        bucket.put(key, name.encode(), content_type=TYPE)
        assert bucket.get(key) == name.encode()
        assert [info.key for info in bucket.list(f"{folder}/")] == [key]

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(self, bucket: Bucket, key: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: bucket.put(key, b"x", content_type=TYPE),
            lambda: bucket.get(key),
            lambda: bucket.head(key),
            lambda: bucket.delete(key),
            lambda: bucket.delete_many([key]),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidSettingsError):
                attempt()

    def test_upper_and_lower_case_are_two_keys(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/A", b"upper", content_type=TYPE)
        bucket.put(f"{folder}/a", b"lower", content_type=TYPE)
        assert bucket.get(f"{folder}/A") == b"upper"

    # -- lists ---------------------------------------------------------------------------------------------------

    def test_a_prefix_is_a_wall(self, bucket: Bucket, folder: str) -> None:
        for name in ("a/1", "a/2", "ab/1", "b"):
            bucket.put(f"{folder}/{name}", b"xyz", content_type=TYPE)
        assert [info.key for info in bucket.list(f"{folder}/a/")] == [f"{folder}/a/1", f"{folder}/a/2"]
        assert len(list(bucket.list(f"{folder}/a"))) == 3
        assert {info.size for info in bucket.list(f"{folder}/")} == {3}
        assert list(bucket.list(f"{folder}/nothing/")) == []

    def test_more_than_one_page(self, bucket: Bucket, folder: str) -> None:
        keys = [f"{folder}/{number:04}" for number in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: bucket.put(key, b"x", content_type=TYPE), keys))
        assert [info.key for info in bucket.list(f"{folder}/")] == keys
        bucket.delete_many(keys)
        assert list(bucket.list(f"{folder}/")) == []

    # -- capabilities --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [(0, 3, b"012"), (4, 2, b"45"), (7, None, b"789"), (8, 100, b"89"), (0, 0, b""), (50, 5, b"")],
    )
    def test_a_part_of_an_object(
        self, opened: Opened, bucket: Bucket, folder: str, start: int, length: int | None, expected: bytes
    ) -> None:
        if not self.can(opened, Capability.RANGE):
            pytest.skip("not declared")
        bucket.put(f"{folder}/a", b"0123456789", content_type=TYPE)
        assert bucket.get(f"{folder}/a", start, length) == expected

    def test_an_address_for_reading(self, opened: Opened, bucket: Bucket, folder: str) -> None:
        if not self.can(opened, Capability.PRESIGNED_GET):
            with pytest.raises(InvalidSettingsError):
                bucket.presign_get(f"{folder}/a", 60)
            return
        bucket.put(f"{folder}/a ü.png", b"image", content_type=TYPE)
        with opened.worker_session() as session:
            answer = session.get(bucket.presign_get(f"{folder}/a ü.png", 60), timeout=10)
        assert (answer.status_code, answer.content) == (200, b"image")

    def test_an_address_for_storing(self, opened: Opened, bucket: Bucket, folder: str) -> None:
        if not self.can(opened, Capability.PRESIGNED_PUT):
            with pytest.raises(InvalidSettingsError):
                bucket.presign_put(f"{folder}/a", 60, content_type=TYPE)
            return
        url = bucket.presign_put(f"{folder}/a", 60, content_type=TYPE)
        with opened.worker_session() as session:
            assert session.put(url, data=b"uploaded", headers={"Content-Type": TYPE}, timeout=10).ok
        assert bucket.get(f"{folder}/a") == b"uploaded"

    def test_an_address_says_when_it_ends_and_who_signed(self, opened: Opened, bucket: Bucket, folder: str) -> None:
        if not self.can(opened, Capability.PRESIGNED_GET):
            pytest.skip("not declared")
        url = bucket.presign_get(f"{folder}/a", 77)
        assert "77" in url
        assert "ignature=" in url
        assert url != bucket.presign_get(f"{folder}/b", 77)

    def test_a_public_address(self, opened: Opened, bucket: Bucket, folder: str) -> None:
        if not self.can(opened, Capability.PUBLIC_URL):
            with pytest.raises(InvalidSettingsError):
                bucket.public_url(f"{folder}/a")
            return
        assert bucket.public_url(f"{folder}/a b").startswith(("https://", "http://127.0.0.1"))
        assert " " not in bucket.public_url(f"{folder}/a b")

    # -- threads -------------------------------------------------------------------------------------------------

    def test_many_at_once_through_one_bucket(self, bucket: Bucket, folder: str) -> None:
        def store(number: int) -> bool:
            bucket.put(f"{folder}/{number}", str(number).encode() * 500, content_type=TYPE)
            return bucket.get(f"{folder}/{number}") == str(number).encode() * 500

        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(store, range(48)))

    def test_of_many_that_put_if_absent_one_wins(self, bucket: Bucket, folder: str) -> None:
        def store(number: int) -> bool:
            try:
                bucket.put(f"{folder}/one", str(number).encode(), content_type=TYPE, if_absent=True)
            except ObjectExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(store, range(8))) == 1

    # -- what goes wrong -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", BROKEN)
    def test_what_is_wrong_is_said_in_the_contracts_words(self, break_with: Callable[[str], Bucket], kind: str) -> None:
        bucket = break_with(kind)
        attempts: list[Callable[[], object]] = [
            lambda: bucket.put("conformance/a", b"x", content_type=TYPE),
            lambda: list(bucket.list("conformance/")),
        ]
        for attempt in attempts:
            with pytest.raises(BROKEN[kind]) as refusal:
                attempt()
            assert len(str(refusal.value)) > 20, "it says what to do"

    def test_no_secret_shows(
        self, opened: Opened, break_with: Callable[[str], Bucket], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither in a repr, nor in an error, nor in a log (below INFO, SDKs write down the requests they sign)."""
        hidden = [value for value in opened.credentials.values() if value]
        caplog.set_level(logging.DEBUG)
        seen = [repr(opened.bucket()), repr(opened.provider)]
        model: type[BaseModel] = opened.provider.credentials_model
        seen.append(repr(model.model_validate(opened.credentials)))
        for kind in ("credentials", "down"):
            try:
                break_with(kind).put("conformance/a", b"x", content_type=TYPE)
            except StorageError as error:
                seen += [str(error), repr(error), repr(error.__cause__)]
        seen += [
            f"{record.getMessage()} {record.exc_info}" for record in caplog.records if record.levelno >= logging.INFO
        ]
        for secret in hidden:
            assert not [text for text in seen if secret in text]

    def test_a_provider_holds_no_state(self, opened: Opened) -> None:
        before = copy.deepcopy(vars(opened.provider))
        opened.bucket()
        assert vars(opened.provider) == before
        assert pickle.dumps(before)
