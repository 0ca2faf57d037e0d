"""What is installed: on the oldest Python we promise (Debian 12's 3.11.2; pip would search for ever), and whole."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tests.installation import ROOT

OLDEST_PYTHON = "3.11.2"


def test_every_pinned_package_takes_the_oldest_python() -> None:
    refusing = [
        f"{distribution.name} {distribution.version} wants Python {wanted}"
        for distribution in distributions()
        if (wanted := distribution.metadata.get("Requires-Python")) and not SpecifierSet(wanted).contains(OLDEST_PYTHON)
    ]
    assert refusing == []


def test_a_wheel_holds_everything_that_the_package_needs(tmp_path: Path) -> None:
    """What is installed for production is a wheel, while everything here runs from the sources."""
    files = [path for path in (ROOT / "cwz_web").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    package = [str(path.relative_to(ROOT)) for path in files]
    for name in [*package, "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=tmp_path, capture_output=True, check=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert set(package) - set(zipfile.ZipFile(wheel).namelist()) == set()
