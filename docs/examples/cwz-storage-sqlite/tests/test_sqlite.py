"""The conformance suite, run against the example."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cwz_storage_sqlite import SqliteProvider

from cwz_web.storage import Bucket
from cwz_web.storage.testing import Opened, StorageConformance


class TestSqlite(StorageConformance):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        operator = {"root": str(tmp_path), "word": "canary-word"}
        return Opened(SqliteProvider(), {"shelf": "one"}, {"word": "canary-word"}, operator)

    @pytest.fixture
    def break_with(self, opened: Opened, tmp_path: Path) -> Callable[[str], Bucket]:
        def broken(kind: str) -> Bucket:
            if kind == "credentials":
                return opened.bucket(credentials={"word": "another-word"})
            if kind == "down":
                return opened.bucket(operator={"root": str(tmp_path / "nowhere")})
            pytest.skip("a file is made when it is missing, and whoever knows the word may do everything")

        return broken
