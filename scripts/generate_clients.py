"""Generate what the clients in `clients/` have from the OpenAPI document: functions and models, and types.

The package in Python is made by openapi-python-client from the document without problems, since the client raises
them as errors; the types of TypeScript are made by openapi-typescript from the whole document.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cwz_web.api.openapi import document
from cwz_web.imaging.uploads import EXTENSIONS

ROOT = Path(__file__).parent.parent
PYTHON = Path("python/connectwyze/rest")
TEMPLATES = Path("clients/python/templates")
TYPES = Path("js/src/schema.ts")


def without_problems(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the responses of successful requests only.

    The last of an operation is its default: the generated functions then return no None for other statuses.
    """
    paths = {
        path: {method: _with_successes(operation) for method, operation in operations.items()}
        for path, operations in openapi["paths"].items()
    }
    return openapi | {"paths": paths}


def _with_successes(operation: dict[str, Any]) -> dict[str, Any]:
    successes = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
    first, *others = sorted(successes)
    return operation | {"responses": {"default": successes[first], **{status: successes[status] for status in others}}}


def generate_python(folder: Path, openapi: dict[str, Any]) -> None:
    """Write the generated package of the client in Python."""
    with tempfile.TemporaryDirectory() as temporary:
        source, settings = Path(temporary, "openapi.json"), Path(temporary, "settings.json")
        source.write_text(json.dumps(without_problems(openapi)))
        # The generator does not know the types of images and fonts.
        file_types = dict.fromkeys(EXTENSIONS, "application/octet-stream")
        settings.write_text(json.dumps({"content_type_overrides": file_types}))
        # Its hook formats the code with ruff, which is installed beside Python.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        generate = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--overwrite")
        options = ("--path", source, "--output-path", folder / PYTHON, "--custom-template-path", ROOT / TEMPLATES)
        subprocess.run(
            (*generate, *options, "--config", settings, "--fail-on-warning"),
            check=True,
            env=os.environ | {"PATH": path},
        )


def generate_types(folder: Path, openapi: dict[str, Any]) -> None:
    """Write the types of the client in TypeScript."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "openapi.json")
        source.write_text(json.dumps(openapi))
        generator = ROOT / "node_modules/.bin/openapi-typescript"
        subprocess.run((generator, source, "--output", folder / TYPES), check=True)


def main() -> None:
    """Generate both in the folder that the command line names; by default, in `clients/`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "clients"
    openapi = document("https://images.example.com")
    generate_python(folder, openapi)
    generate_types(folder, openapi)


if __name__ == "__main__":
    main()
