"""The conformance suite for storage plugins, for pytest.

    from cwz_web.storage.testing import ProviderSetup, StorageConformance

    class TestMyProvider(StorageConformance):
        @pytest.fixture
        def provider_setup(self) -> ProviderSetup:
            return ProviderSetup(MyProvider(), settings={...}, credentials={...}, operator={...}, allow=[...])

        @pytest.fixture
        def broken_bucket(self, provider_setup: ProviderSetup) -> Callable[[str], Bucket]:
            return lambda failure: ...  # a bucket that fails in this way; see FAILURES

Declared capabilities are tested; the operations of undeclared ones have to raise UnsupportedOperationError.
"""

import pytest

# Before the import: pytest rewrites assertions when it loads a module.
pytest.register_assert_rewrite("cwz_web.storage.testing.conformance")

from cwz_web.storage.testing.conformance import (  # noqa: E402
    FAILURES,
    ProviderConformance,
    ProviderSetup,
    StorageConformance,
)

__all__ = ["FAILURES", "ProviderConformance", "ProviderSetup", "StorageConformance"]
