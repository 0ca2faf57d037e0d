"""The scripts of the editor: its modules that need no browser are tested in Node, and what a browser loads is small."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.installation import ROOT, bundle_scripts, node

STATIC = ROOT / "cwz_web" / "static"
TEMPLATES = ROOT / "cwz_web" / "templates"
MAX_KB = 120


def test_modules_of_the_editor() -> None:
    """Tests that replace global objects have processes of their own; the others share one, which starts once."""
    files = sorted((ROOT / "tests" / "javascript").glob("*.test.mjs"))
    alone = [str(file) for file in files if "globalThis" in file.read_text()]
    shared = [file for file in files if str(file) not in alone]
    assert alone
    assert shared
    imports = "".join(f"import {json.dumps(str(file))};" for file in shared)
    for arguments in (["--test", *alone], ["--input-type=module", "--eval", imports]):
        command = [node(), "--test-reporter=tap", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert "\n# fail 0\n" in done.stdout


def test_scripts_of_the_editor_page_are_within_their_budget() -> None:
    """All scripts of the page count, with those of every page. Make code smaller, or load it when it is used."""
    bundle_scripts()
    folders = {"app": STATIC, "app/build": STATIC / "build", "htmx": ROOT / "node_modules/htmx.org/dist"}
    pages = (TEMPLATES / "base.jinja2").read_text() + (TEMPLATES / "editor" / "show.jinja2").read_text()
    scripts = re.findall(r'src="{{ static }}/(htmx|app/build|app)/(\S+\.js)"', pages)
    assert len(scripts) == pages.count("<script") - pages.count('type="application/json"')
    scripts.append(("app", "i18n.js"))  # app.js imports it
    sizes = {name: len(gzip.compress((folders[folder] / name).read_bytes())) for folder, name in scripts}
    assert sum(sizes.values()) <= MAX_KB * 1024, sizes


def test_container_image_copies_what_the_bundle_needs(tmp_path: Path) -> None:
    """The first stage of the Dockerfile has nothing but the files that it copies, and the installed packages."""
    bundle_scripts()
    bundle = (STATIC / "build" / "editor.js").read_bytes()
    stage = (ROOT / "deploy" / "Dockerfile").read_text().split("\nFROM ")[1]
    for copied in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE):
        for source in copied.split():
            target = tmp_path / source
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, target)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    copied_bundle = tmp_path / "cwz_web" / "static" / "build" / "editor.js"
    copied_bundle.write_bytes(bundle)
    subprocess.run([node(), tmp_path / "scripts" / "bundle.mjs"], check=True)
    assert copied_bundle.read_bytes() == bundle
