"""The registry of feed sources, and the file of rows that providers write."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from cwz_web.feeds import limits
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.limits import MAX_CELL, InvalidFileError
from cwz_web.feeds.provider_sources import _merge
from cwz_web.feeds.providers import FeedSourceProvider, Fields, RowWriter, SourceContext, SourceError, hookimpl
from cwz_web.feeds.providers.http import _retry_after
from cwz_web.feeds.providers.plugins import INCLUDED, SourceRegistry
from cwz_web.feeds.temporary_files import temporary_file


class Example(FeedSourceProvider[Fields, Fields]):
    api_version = 1
    name = "example"
    label = "Example"
    summary = "Rows"
    settings_model = Fields
    credentials_model = Fields

    def hosts(self, settings: Fields, operator: Mapping[str, str]) -> Iterable[str]:
        return ["shop.example"]

    def url(self, settings: Fields) -> str:
        return "https://shop.example"

    def fetch(self, context: SourceContext[Fields, Fields], rows: RowWriter) -> None:
        rows.write({"id": 1})


class Plugin:
    """A module of another distribution."""

    def __init__(self, *providers: Any) -> None:
        self._providers = list(providers)

    @hookimpl
    def cwz_feed_sources(self) -> list[Any]:
        return self._providers


class Point:
    """An entry point."""

    def __init__(self, name: str, plugin: object) -> None:
        self.name, self._plugin = name, plugin

    def load(self) -> object:
        if isinstance(self._plugin, Exception):
            raise self._plugin
        return self._plugin


def registry_with(monkeypatch: pytest.MonkeyPatch, *points: Point, blocked: Iterable[str] = ()) -> SourceRegistry:
    monkeypatch.setattr("cwz_web.feeds.providers.plugins.entry_points", lambda group: points)
    return SourceRegistry(blocked=blocked)


def test_providers_of_this_distribution_are_loaded() -> None:
    registry = SourceRegistry()
    assert [provider.name for provider in registry] == list(INCLUDED)
    assert registry.load_errors == {}


def test_provider_without_its_extra_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    monkeypatch.delitem(sys.modules, "cwz_web.feeds.providers.sftp", raising=False)
    registry = SourceRegistry()
    assert registry.get("sftp") is None
    assert registry.get("ftps")
    assert registry.load_errors == {"sftp": "it needs an extra: pip install cwz-web[sftp]"}


def test_plugins_are_loaded_and_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    point = Point("other", Plugin(Example()))
    assert registry_with(monkeypatch, point).get("example")
    registry = registry_with(monkeypatch, point, blocked=["other", "shopify"])
    assert registry.get("example") is None
    assert registry.get("shopify") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"api_version": 2}, "version 2 of the contract"),
        ({"name": "Bad name"}, "lower-case letters"),
        ({"name": "url"}, "not url"),
        ({"name": "shopify"}, "another plugin"),
    ],
)
def test_invalid_provider_is_skipped(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str) -> None:
    provider = type("Changed", (Example,), changes)()
    registry = registry_with(monkeypatch, Point("other", Plugin(provider)))
    assert reason in registry.load_errors["other"]
    assert [each.name for each in registry] == list(INCLUDED)


@pytest.mark.parametrize("plugin", [ImportError("no such library"), Plugin(object())])
def test_broken_plugin_is_skipped(monkeypatch: pytest.MonkeyPatch, plugin: object) -> None:
    registry = registry_with(monkeypatch, Point("other", plugin))
    assert registry.load_errors["other"]
    assert [each.name for each in registry] == list(INCLUDED)


def write(*rows: dict[str, Any], max_rows: int | None = None) -> Any:
    file = temporary_file()
    writer = RowWriter(file, max_rows)
    for row in rows:
        writer.write(row)
    writer.finish()
    return file


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_are_read_as_they_were_written(count: int) -> None:
    rows = [
        {"id": str(n), "images": ["https://a/1.jpg", "https://a/2.jpg"], "empty": "", "none": None}
        for n in range(count)
    ]
    expected = [{"id": str(n), "images": "https://a/1.jpg, https://a/2.jpg"} for n in range(count)]
    assert read_table(write(*rows)).rows == expected


def test_long_first_row_and_long_cells() -> None:
    file = write({"id": "1", "text": "x" * (MAX_CELL + 5)}, {"id": "2"})
    first, second = read_table(file).rows
    assert len(first["text"]) == MAX_CELL
    assert second == {"id": "2"}


def test_limits_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_table(write(*({"id": str(n)} for n in range(9)), max_rows=4)).rows) == 4
    monkeypatch.setattr(limits, "MAX_ROWS", 2)
    with pytest.raises(InvalidFileError, match="more than 2 rows"):
        write({"id": "1"}, {"id": "2"}, {"id": "3"})
    monkeypatch.setattr("cwz_web.feeds.providers.rows.MAX_BYTES", 20)
    with pytest.raises(InvalidFileError, match="The rows of the source"):
        write({"id": "x" * 30})


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [nested(300), nested(5000), [{"a": nested(5000)}]])
def test_deeply_nested_row_is_refused(value: Any) -> None:
    with pytest.raises(InvalidFileError, match="nested too deeply"):
        write({"id": "1", "value": value})


def test_text_that_is_not_unicode_is_replaced() -> None:
    assert read_table(write({"a\udcff": "b\udcff"}, {"id": "1"})).rows[0] == {"a?": "b?"}


@pytest.mark.parametrize(("header", "seconds"), [("2.5", 2.5), ("nan", None), ("inf", None), ("-Infinity", None)])
def test_retry_after_is_a_finite_number(header: str, seconds: float | None) -> None:
    assert _retry_after(header) == seconds


@pytest.mark.parametrize("long", ["", "x" * 80_000])
def test_changed_groups_replace_the_rows_of_the_last_file(long: str) -> None:
    base = write({"id": "1", "group": 1, "text": long}, {"id": "2", "group": 1}, {"id": "3", "group": 2})
    merged = read_table(_merge(base, write({"id": "2", "group": 1, "new": "yes"}), "group")).rows
    assert [(row["id"], row.get("new")) for row in merged] == [("3", None), ("2", "yes")]
    unchanged = read_table(_merge(base, write(), "group")).rows
    assert [row["id"] for row in unchanged] == ["1", "2", "3"]


def test_merge_of_a_file_that_is_none() -> None:
    with pytest.raises(SourceError):
        _merge(temporary_file(b"id,group\n1,2\n"), write({"id": "1", "group": 1}), "group")
