"""Requests that Schemathesis makes from the OpenAPI document, valid and not, with all its checks."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwz_web.api.openapi import OPERATIONS
from cwz_web.app import create_app
from cwz_web.generation.api_keys import Scope
from cwz_web.web.rate_limits import LIMITS, RateLimiter
from cwz_web.web.services import Services
from tests.factories import Factory
from tests.functional.test_access import SampleWorkspace
from tests.wsgi_server import serving

pytestmark = pytest.mark.slow

# What a schema cannot say: whether a time zone, a reference or a condition exists (422 with a message for the field),
# that a key was used for another request (422), that something has changed since (412), and the bytes of a body (413).
POSITIVE = ["2xx", "3xx", "404", "409", "412", "413", "422", "503"]
NEGATIVE = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429"]
EXAMPLES = 5


@pytest.fixture(scope="module")
def site(shared_services: Services) -> Iterator[str]:
    """The URL of the served product without limits of requests; their Host is that of its settings."""
    unlimited = {f"{name}.{scope}": "1000000 per minute" for name, scopes in LIMITS.items() for scope in scopes}
    wsgi = create_app(dataclasses.replace(shared_services, limiter=RateLimiter("memory://", unlimited)))
    with serving(lambda environ, start: wsgi(environ | {"HTTP_HOST": "localhost"}, start), threads=4) as port:
        yield f"http://127.0.0.1:{port}"


def samples(sample: SampleWorkspace) -> list[dict[str, Any]]:
    """Return the parameters of paths of which the workspace has a resource; nothing is deleted with them."""
    ids = {
        "/images/": {"path.id": sample.rows["images"]},
        "/image-requests/": {"path.id": sample.image_run_id},
        "/templates/": {"path.id": sample.rows["templates"], "path.number": 1},
        "/feeds/": {"path.id": sample.rows["feeds"], "path.number": 1},
        "/runs/": {"path.id": sample.rows["runs"]},
        "/campaigns/": {
            "path.id": sample.rows["campaigns"],
            "path.number": 1,
            "path.channel": sample.rows["channels"],
        },
        "/uploads/": {"path.id": sample.rows["uploads"]},
    }
    return [
        {"include-path-regex": f"^{prefix}", "exclude-method": "DELETE", "parameters": parameters}
        for prefix, parameters in ids.items()
    ]


def settings(sample: SampleWorkspace) -> str:
    """Return the settings of Schemathesis. Their format is TOML, whose inline values are nearly those of JSON."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {inline(each)}" for key, each in value.items()) + "}"
        return json.dumps(value)

    lines = [
        f"checks.positive_data_acceptance.expected-statuses = {json.dumps(POSITIVE)}",
        f"checks.negative_data_rejection.expected-statuses = {json.dumps(NEGATIVE)}",
    ]
    for entry in samples(sample):
        lines += ["[[operations]]", *(f"{name} = {inline(value)}" for name, value in entry.items())]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("phase", ["coverage", "fuzzing", "stateful"])
def test_no_finding(site: str, make: Factory, tmp_path: Path, phase: str) -> None:
    sample = SampleWorkspace(make)
    key = make.key(sample.space, Scope.ADMIN)
    config = tmp_path / "schemathesis.toml"
    config.write_text(settings(sample))
    program = (sys.executable, "-m", "schemathesis.cli", "--config-file", config, "--no-color")
    options = ("--phases", phase, "--max-examples", str(EXAMPLES), "--continue-on-failure", "--checks", "all")
    # Longer than the longest `wait`, which is 10 seconds.
    times = ("--request-timeout", "30", "--max-response-time", "15")
    header = ("--header", f"Authorization: Bearer {key}", "--suppress-health-check", "too_slow,large_base_example")
    command = (*program, "run", f"{site}/v1/openapi.json", "--url", f"{site}/v1", *options, *times, *header)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert f"Selected: {len(OPERATIONS)}/{len(OPERATIONS)}" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout[done.stdout.find("\n====") :]
