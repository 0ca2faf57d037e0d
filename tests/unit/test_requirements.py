"""Packaging: the locked packages support the oldest Python (3.11.2 of Debian 12), and the wheel is complete."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tests.installation import ROOT

OLDEST_PYTHON = "3.11.2"


def test_installed_packages_support_the_oldest_python() -> None:
    unsupported = [
        f"{distribution.name} {distribution.version} requires Python {required}"
        for distribution in distributions()
        if (required := distribution.metadata.get("Requires-Python"))
        and not SpecifierSet(required).contains(OLDEST_PYTHON)
    ]
    assert unsupported == []


def test_wheel_contains_every_file_of_the_package(tmp_path: Path) -> None:
    """Production installs a wheel; the other tests run from the sources."""
    files = [path for path in (ROOT / "cwz_web").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    package = [str(path.relative_to(ROOT)) for path in files]
    for name in [*package, "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=tmp_path, capture_output=True, check=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert set(package) - set(zipfile.ZipFile(wheel).namelist()) == set()
