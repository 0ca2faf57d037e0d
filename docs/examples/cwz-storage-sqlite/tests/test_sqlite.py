"""The conformance suite against the example."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cwz_storage_sqlite import SqliteProvider

from cwz_web.storage import Bucket
from cwz_web.storage.testing import ProviderSetup, StorageConformance


class TestSqlite(StorageConformance):
    listing_size = 30  # a query returns all objects

    @pytest.fixture
    def provider_setup(self, tmp_path: Path) -> ProviderSetup:
        operator = {"root": str(tmp_path), "password": "canary-password"}
        return ProviderSetup(SqliteProvider(), {"database": "one"}, {"password": "canary-password"}, operator)

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup, tmp_path: Path) -> Callable[[str], Bucket]:
        def broken(failure: str) -> Bucket:
            if failure == "credentials":
                return provider_setup.bucket(credentials={"password": "another-password"})
            if failure == "down":
                return provider_setup.bucket(operator={"root": str(tmp_path / "missing")})
            pytest.skip("a missing file is created, and the password allows everything")

        return broken
