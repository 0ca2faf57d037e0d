"""The test cases of the conformance suite. A fake server on loopback answers as the service's documentation says."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.providers.contract import (
    API_VERSION,
    FeedSourceProvider,
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourceNotFoundError,
    SourcePermissionError,
    SourceThrottledError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.records import Row
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.net.guard import OutboundPolicy

SECONDS = 20.0
# The fields of the form that do not depend on the provider.
FORM_FIELDS = {"provider", "name", "do", "frequency", "at", "weekday", "cron", "time_zone", "csrf_token", "next"}
# What can fail, and the error that the provider has to raise. The fixture `broken` causes each of them.
FAILURES: dict[str, type[SourceError]] = {
    "credentials": SourceCredentialsError,
    "permission": SourcePermissionError,
    "missing": SourceNotFoundError,
    "throttled": SourceThrottledError,
    "down": SourceUnreachableError,
    "garbage": InvalidResponseError,
}
HOSTILE_VALUES = (
    "evil.example/.{}",
    "{}@evil.example",
    "{}#@evil.example",
    "{}\\@evil.example",
    "{}/../../x",
    "{}?x=",
    "{}%2f",
    "{}\n",
    "{}\u00a0",
    "evil.example:80",
    "[::1]",
    "127.0.0.1",
)


@dataclass(frozen=True)
class SourceSetup:
    """A provider, and everything that fetches its rows in the tests.

    Args:
        provider: The provider under test.
        settings: The values of its `settings_model`.
        credentials: The values of its `credentials_model`.
        operator: The .ini settings `cwz.feed_sources.<provider>.*`.
        allow: `host:port` pairs that may be private and use plain HTTP, such as a test server on 127.0.0.1.
    """

    provider: FeedSourceProvider[Any, Any]
    settings: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    operator: Mapping[str, str] = field(default_factory=dict)
    allow: Iterable[str] = ()
    waits: list[float] = field(default_factory=list)

    def context(
        self, *, settings: Mapping[str, str] | None = None, credentials: Mapping[str, str] | None = None, **more: Any
    ) -> SourceContext[Any, Any]:
        """Return the context of a fetch; it does not wait, and counts the seconds in `waits`."""
        read = self.provider.settings_model.model_validate({**self.settings, **(settings or {})})
        secrets = self.provider.credentials_model.model_validate({**self.credentials, **(credentials or {})})
        values: dict[str, Any] = {
            "outbound": OutboundPolicy(self.provider.hosts(read, self.operator), self.allow),
            "deadline": time.monotonic() + SECONDS,
            "wait": self.waits.append,
        }
        return SourceContext(read, secrets, self.operator, **(values | more))

    def rows(self, **changes: Any) -> list[Row]:
        """Fetch the rows, and read them as an import does."""
        max_rows = changes.pop("max_rows", None)
        return fetch_rows(self.provider, self.context(**changes), max_rows)


def fetch_rows(
    provider: FeedSourceProvider[Any, Any], context: SourceContext[Any, Any], max_rows: int | None = None
) -> list[Row]:
    """Fetch the rows of a source, and read them as an import does; none of a source without rows."""
    file = temporary_file()
    writer = RowWriter(file, max_rows)
    provider.fetch(context, writer)
    writer.finish()
    return read_table(file).rows if writer.count else []


class SourceConformance:
    """The cases of every provider. A subclass defines the fixtures `setup` and `broken`.

    Attributes:
        host_field: The setting that the host is made of; "" if the provider always has the same one.
    """

    host_field: ClassVar[str] = ""

    @pytest.fixture
    def setup(self) -> SourceSetup:
        """Return a provider whose server has at least two rows."""
        raise NotImplementedError

    @pytest.fixture
    def broken(self) -> Callable[[str], SourceContext[Any, Any]]:
        """Return what returns the context of a fetch with a failure; call pytest.skip for one that cannot happen."""
        raise NotImplementedError

    def test_contract(self, setup: SourceSetup) -> None:
        """The provider is complete."""
        provider = setup.provider
        assert provider.api_version == API_VERSION
        assert provider.label
        assert provider.summary
        for model in (provider.settings_model, provider.credentials_model):
            assert model.model_config.get("extra") == "forbid", f"{model.__name__} has to be derived from Fields"
            for name, info in model.model_fields.items():
                assert info.title, f"the field {name} needs a title"
                assert info.description, f"the field {name} needs a description"
                assert name not in FORM_FIELDS, f"the form has a field {name} already"
        for name, info in provider.credentials_model.model_fields.items():
            assert "Secret" in str(info.annotation), f"the credential {name} has to be a SecretStr"

    def test_rows(self, setup: SourceSetup) -> None:
        """All rows are fetched, and twice the same."""
        rows = setup.rows()
        assert len(rows) >= 2, f"expected at least two rows, got {rows}"
        assert setup.rows() == rows, "two fetches of the same rows differ: each would be imported"

    def test_preview(self, setup: SourceSetup) -> None:
        """A preview has the first rows, with the columns of the whole source."""
        whole, preview = setup.rows(), setup.rows(is_preview=True, max_rows=2)
        assert preview == whole[: len(preview)]
        assert 1 <= len(preview) <= 2

    def test_changes(self, setup: SourceSetup) -> None:
        """The rows of what has changed name their group."""
        column = setup.provider.group_column
        if not column:
            pytest.skip("the provider always fetches all rows")
        rows = setup.rows(changed_since=datetime.now(UTC) - timedelta(days=10_000))
        assert all(row.get(column) for row in rows)
        assert setup.rows(changed_since=datetime.now(UTC) + timedelta(days=1)) == []

    def test_url_and_hosts(self, setup: SourceSetup) -> None:
        """The URL and the hosts hold no secret."""
        settings = setup.context().settings
        shown = [setup.provider.url(settings), *setup.provider.hosts(settings, setup.operator)]
        assert len(shown) > 1
        for secret in setup.credentials.values():
            assert not any(secret in text for text in shown)

    def test_no_connection_to_undeclared_hosts(self, setup: SourceSetup) -> None:
        """Everything goes through the guard."""
        with pytest.raises(SourceUnreachableError):
            setup.rows(outbound=OutboundPolicy([], setup.allow))
        with pytest.raises(SourceUnreachableError):  # declared, but private
            setup.rows(outbound=OutboundPolicy(setup.provider.hosts(setup.context().settings, setup.operator)))

    def test_deadline(self, setup: SourceSetup) -> None:
        """A fetch whose time is over ends."""
        with pytest.raises(SourceError):
            setup.rows(deadline=time.monotonic() - 1)

    @pytest.mark.parametrize("value", HOSTILE_VALUES)
    def test_hostile_host(self, setup: SourceSetup, value: str) -> None:
        """A setting that the host is made of cannot lead to another one."""
        if not self.host_field:
            pytest.skip("the host is not made of a setting")
        good = setup.settings[self.host_field]
        expected = tuple(setup.provider.hosts(setup.context().settings, {}))
        try:
            context = setup.context(settings={self.host_field: value.format(good)})
        except ValidationError:
            return
        assert tuple(setup.provider.hosts(context.settings, {})) == expected

    @pytest.mark.parametrize("failure", FAILURES)
    def test_failure(
        self,
        setup: SourceSetup,
        broken: Callable[[str], SourceContext[Any, Any]],
        failure: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Each failure has its error, which names the field and shows no secret."""
        caplog.set_level(logging.DEBUG)
        context = broken(failure)
        with pytest.raises(FAILURES[failure]) as found:
            fetch_rows(setup.provider, context)
        error, provider = found.value, setup.provider
        names = {*provider.settings_model.model_fields, *provider.credentials_model.model_fields, ""}
        assert error.field in names
        assert error.field or failure not in ("credentials", "permission", "missing"), "name the field that is to blame"
        assert error.__cause__ is None, "raise it from None, so that no other error shows secrets"
        for secret in _secrets(context):
            assert secret not in f"{error} {error!r} {caplog.text}"


def _secrets(context: SourceContext[Any, Any]) -> Iterator[str]:
    for name in type(context.credentials).model_fields:
        value = getattr(context.credentials, name)
        if value is not None and value.get_secret_value():
            yield value.get_secret_value()
