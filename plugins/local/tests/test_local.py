"""The local folder on a real disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cwz_storage_local import LocalBucket, LocalProvider

from cwz_web.storage import (
    Bucket,
    BucketContext,
    Fields,
    InvalidSettingsError,
    OutboundPolicy,
    PermissionDeniedError,
    StorageError,
)
from cwz_web.storage.testing import ProviderSetup, StorageConformance


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def bucket(root: Path) -> LocalBucket:
    return open_local(root)


def open_local(root: Path | None) -> LocalBucket:
    operator = {"root": str(root)} if root else {}
    return LocalProvider().open(BucketContext(Fields(), Fields(), operator, OutboundPolicy(())))


class TestLocal(StorageConformance):
    @pytest.fixture
    def provider_setup(self, root: Path) -> ProviderSetup:
        return ProviderSetup(LocalProvider(), operator={"root": str(root)})

    @pytest.fixture
    def broken_bucket(self, tmp_path: Path) -> Callable[[str], Bucket]:
        def broken(failure: str) -> Bucket:
            if failure != "down":
                pytest.skip("a folder has no credentials and no bucket name, and root has every permission")
            bucket = open_local(tmp_path / "removed")
            (tmp_path / "removed").rmdir()
            (tmp_path / "removed").write_text("a file in place of the folder")
            return bucket

        return broken


def test_folder_is_not_an_object(bucket: LocalBucket) -> None:
    bucket.put("a/b", b"x", content_type="text/plain")
    for method in (bucket.get, bucket.head):
        with pytest.raises(StorageError):
            method("a")
    with pytest.raises(StorageError):
        bucket.put("a", b"x", content_type="text/plain")
    with pytest.raises(StorageError):
        bucket.put("a/b/c", b"x", content_type="text/plain")


def test_delete_removes_empty_folders(bucket: LocalBucket, root: Path) -> None:
    bucket.put("a/b/c", b"x", content_type="text/plain")
    bucket.delete("a/b/c")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../outside", "..", "a\\..\\b", "", "a\x00"])
def test_keys_outside_the_folder_are_rejected(bucket: LocalBucket, root: Path, key: str) -> None:
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


def test_concurrent_puts_leave_one_complete_object(bucket: LocalBucket, root: Path) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: bucket.put("same/key", body, content_type="t"), bodies))
    assert bucket.get("same/key") in bodies
    assert {path.name for path in (root / "same").iterdir()} == {"key", ".metadata-key"}


def test_missing_root_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"cwz\.storage\.local\.root"):
        open_local(None)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        open_local(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", [".partial-a", ".metadata-a"])
def test_reserved_names_are_rejected(bucket: LocalBucket, name: str) -> None:
    with pytest.raises(InvalidSettingsError, match="cannot begin with"):
        bucket.put(f"a/{name}", b"x", content_type="text/plain")
