"""The conformance suite, run against the example."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cwz_storage_sqlite import SqliteProvider

from cwz_web.storage import Bucket
from cwz_web.storage.testing import ProviderSetup, StorageConformance


class TestSqlite(StorageConformance):
    @pytest.fixture
    def provider_setup(self, tmp_path: Path) -> ProviderSetup:
        operator = {"root": str(tmp_path), "word": "canary-word"}
        return ProviderSetup(SqliteProvider(), {"shelf": "one"}, {"word": "canary-word"}, operator)

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup, tmp_path: Path) -> Callable[[str], Bucket]:
        def broken(kind: str) -> Bucket:
            if kind == "credentials":
                return provider_setup.bucket(credentials={"word": "another-word"})
            if kind == "down":
                return provider_setup.bucket(operator={"root": str(tmp_path / "nowhere")})
            pytest.skip("a file is made when it is missing, and whoever knows the word may do everything")

        return broken
