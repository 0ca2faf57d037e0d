"""Plugins as their authors and operators meet them: the example of the guide is installed and run; the commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cwz_web.cli import keys as keys_command
from cwz_web.crypto import parse_keys
from tests.installation import CWZ, ROOT

EXAMPLE = ROOT / "docs" / "examples" / "cwz-storage-sqlite"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed into a folder of its own from a copy, as pip does it."""
    target, copy = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-r", f"{EXAMPLE}/.", str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(copy)], check=True, env={**os.environ, "PIP_CONSTRAINT": ""})
    return target


def cwz(*arguments: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [CWZ, "-c", str(ROOT / "development.ini"), *arguments], capture_output=True, text=True, env=environment
    )


def test_the_example_of_the_guide_passes_the_conformance_suite(example: Path, tmp_path: Path) -> None:
    # A folder of its own: pytest closes the common one to everybody else, and our PostgreSQL lies in it.
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'own'}"]
    done = subprocess.run(
        [*pytest_here, str(EXAMPLE / "tests")],
        env={**os.environ, "PYTHONPATH": f"{example}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_an_installed_plugin_is_listed_and_checked(example: Path) -> None:
    listed = cwz("plugins", "list", path=str(example))
    assert "sqlite       SQLite file" in listed.stdout
    assert all(name in listed.stdout for name in ("s3", "r2", "gcs", "firebase", "local"))
    assert cwz("plugins", "check", "sqlite", path=str(example)).returncode == 0


def test_a_plugin_that_is_broken_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("import no_such_library\n")
    told = tmp_path / "broken_plugin-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[cwz.storage]\nbroken = broken_plugin\n")
    listed = cwz("plugins", "list", path=str(tmp_path))
    assert "broken       left out: No module named 'no_such_library'" in listed.stdout
    assert "s3" in listed.stdout
    checked = cwz("plugins", "check", "broken", path=str(tmp_path))
    assert checked.returncode == 1
    assert "no_such_library" in checked.stdout
    assert cwz("plugins", "check", "nobody").returncode == 1


def test_a_fresh_key_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    first = cwz("keys", "new").stdout.strip()
    keys_command.new()
    second = capsys.readouterr().out.strip()
    assert len(parse_keys(f"{first},{second}")) == 2
