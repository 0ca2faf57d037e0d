"""The modules of the editor that need no browser: their tests run in Node."""

import subprocess

from tests.installation import ROOT, node


def test_modules_of_the_editor() -> None:
    files = sorted(map(str, (ROOT / "tests" / "javascript").glob("*.test.mjs")))
    assert files
    command = [node(), "--test", "--test-reporter=tap", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
