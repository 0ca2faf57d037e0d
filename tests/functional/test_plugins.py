"""Storage plugins of third parties: discovery by entry point, and the `cwz plugins` and `cwz keys` commands.

The examples of docs/storage-plugins.md have tests of their own in docs/examples.
"""

from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from cwz_web.cli import main
from cwz_web.crypto import parse_keys
from tests.installation import ROOT

EXAMPLES = ROOT / "docs" / "examples"
BUILT_IN = ("s3", "r2", "gcs", "firebase", "local")


class Command:
    """The `cwz` command of an installation without a database."""

    def __init__(self, ini: Path) -> None:
        self.ini = ini

    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["-c", str(self.ini), *arguments])
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def cwz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:9/unused")
    ini = tmp_path / "test.ini"
    ini.write_text(
        f"[app:main]\nuse = egg:cwz-web\ncwz.environment = development\ncwz.url = http://localhost\n"
        f"cwz.var = {tmp_path}\ncwz.node_modules = {ROOT / 'node_modules'}\ncwz.mail.transport = folder\n"
        f"cwz.secrets.file = {tmp_path}/secrets.json\n"
    )
    return Command(ini)


def install(folder: Path, name: str, entry_points: str) -> None:
    """Write the metadata that pip writes for a distribution."""
    metadata = folder / f"{name.replace('-', '_')}-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[cwz.storage]\n{entry_points}\n")


@pytest.mark.parametrize(("name", "label"), [("sqlite", "SQLite file"), ("webdav", "WebDAV")])
def test_installed_example_is_listed_and_valid(
    cwz: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, label: str
) -> None:
    distribution = EXAMPLES / f"cwz-storage-{name}"
    setup = ConfigParser()
    setup.read(distribution / "setup.cfg")
    install(tmp_path, setup["metadata"]["name"], setup["options.entry_points"]["cwz.storage"].strip())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(distribution)
    listed = cwz("plugins", "list")
    assert f"{name:12} {label}" in listed
    assert all(provider in listed for provider in BUILT_IN)
    assert "fields are valid" in cwz("plugins", "check", name)


def test_plugin_that_cannot_be_imported_is_listed_with_the_reason(
    cwz: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("import no_such_library\n")
    install(tmp_path, "broken-plugin", "broken = broken_plugin")
    monkeypatch.syspath_prepend(tmp_path)
    listed = cwz("plugins", "list")
    assert "broken       not loaded: No module named 'no_such_library'" in listed
    assert all(provider in listed for provider in BUILT_IN)
    assert "no_such_library" in cwz("plugins", "check", "broken", code=1)


def test_unknown_plugin_fails_the_check(cwz: Command) -> None:
    assert "no plugin with this name" in cwz("plugins", "check", "unknown", code=1)


def test_new_keys_are_valid_and_different(cwz: Command) -> None:
    first, second = cwz("keys", "new").strip(), cwz("keys", "new").strip()
    assert first != second
    assert len(parse_keys(f"{first},{second}")) == 2
