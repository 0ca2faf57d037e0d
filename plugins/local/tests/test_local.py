"""The local folder, on a real disk."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cwz_storage_local import LocalBucket, LocalProvider, LocalSettings

from cwz_web.storage import (
    Bucket,
    InvalidSettingsError,
    ObjectNotFoundError,
    Opening,
    Outbound,
    PermissionDeniedError,
    StorageError,
)
from cwz_web.storage.testing import Opened, StorageConformance


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def bucket(root: Path) -> LocalBucket:
    return open_local(root)


def open_local(root: Path | None) -> LocalBucket:
    operator = {"root": str(root)} if root else {}
    return LocalProvider().open(Opening(LocalSettings(), LocalSettings(), operator, Outbound(())))


class TestLocal(StorageConformance):
    @pytest.fixture
    def opened(self, root: Path) -> Opened:
        return Opened(LocalProvider(), operator={"root": str(root)})

    @pytest.fixture
    def break_with(self, tmp_path: Path) -> Callable[[str], Bucket]:
        def broken(kind: str) -> Bucket:
            if kind != "down":
                pytest.skip("a folder has neither credentials nor a bucket's name, and root may do everything")
            bucket = open_local(tmp_path / "vanishes")
            (tmp_path / "vanishes").rmdir()
            (tmp_path / "vanishes").write_text("a file where the folder was")
            return bucket

        return broken


def test_round_trip(bucket: LocalBucket) -> None:
    for key, body in {"a/ü b.jpg": b"image", "empty.bin": b"", "a/large": os.urandom(3_000_000)}.items():
        bucket.put(key, body, content_type="image/jpeg")
        assert bucket.get(key) == body
        assert bucket.head(key).size == len(body)


def test_putting_again_replaces(bucket: LocalBucket) -> None:
    for body in (b"one", b"three"):
        bucket.put("k", body, content_type="text/plain")
    assert bucket.get("k") == b"three"


def test_what_is_not_there(bucket: LocalBucket) -> None:
    for method in (bucket.get, bucket.head):
        with pytest.raises(ObjectNotFoundError):
            method("gone/gone.jpg")
    bucket.delete("gone/gone.jpg")


def test_a_folder_is_no_object(bucket: LocalBucket) -> None:
    bucket.put("a/b", b"x", content_type="text/plain")
    for method in (bucket.get, bucket.head):
        with pytest.raises(StorageError):
            method("a")
    with pytest.raises(StorageError):
        bucket.put("a", b"x", content_type="text/plain")
    with pytest.raises(StorageError):
        bucket.put("a/b/c", b"x", content_type="text/plain")


def test_list_by_prefix_in_order(bucket: LocalBucket) -> None:
    for key in ("b/2", "b/1", "a/1", "bb/1"):
        bucket.put(key, b"x", content_type="text/plain")
    assert [info.key for info in bucket.list()] == ["a/1", "b/1", "b/2", "bb/1"]
    assert [info.key for info in bucket.list("b/")] == ["b/1", "b/2"]
    assert [info.key for info in bucket.list("b")] == ["b/1", "b/2", "bb/1"]
    assert list(bucket.list("nothing/")) == []


def test_delete_takes_the_empty_folders_along(bucket: LocalBucket, root: Path) -> None:
    bucket.put("a/b/c", b"x", content_type="text/plain")
    bucket.delete("a/b/c")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../outside", "..", "a\\..\\b", "", "a\x00"])
def test_no_key_leads_outside(bucket: LocalBucket, root: Path, key: str) -> None:
    (root.parent / "outside").write_text("secret")
    for attempt in (
        lambda: bucket.get(key),
        lambda: bucket.put(key, b"x", content_type="t"),
        lambda: bucket.delete(key),
    ):
        with pytest.raises(InvalidSettingsError):
            attempt()
    assert (root.parent / "outside").read_text() == "secret"


def test_symbolic_links_are_not_followed(bucket: LocalBucket, root: Path) -> None:
    secret = root.parent / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (root / "folder").symlink_to(secret)
    (root / "file").symlink_to(secret / "file")
    for key in ("folder/file", "file"):
        for attempt in (bucket.get, bucket.head, bucket.delete, lambda k: bucket.put(k, b"x", content_type="t")):
            with pytest.raises(PermissionDeniedError):
                attempt(key)
    assert [info.key for info in bucket.list()] == []
    assert (secret / "file").read_text() == "secret"


def test_many_at_once_leave_one_whole_object(bucket: LocalBucket, root: Path) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: bucket.put("same/key", body, content_type="t"), bodies))
    assert bucket.get("same/key") in bodies
    assert {path.name for path in (root / "same").iterdir()} == {"key", ".told-key"}


def test_without_a_folder_of_the_operator_it_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"cwz\.storage\.local\.root"):
        open_local(None)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        open_local(tmp_path / "file" / "below")
