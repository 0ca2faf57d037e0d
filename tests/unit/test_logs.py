"""Logs: a line that cannot be written stops nobody."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import logging, sys
import structlog
from cwz_web.logs import configure_logs

configure_logs(development=sys.argv[1] == "development")
structlog.get_logger().info("request", status=200)
logging.getLogger("library").warning("trouble")
print("went on")
"""


@pytest.mark.parametrize("kind", ["development", "production"])
def test_who_logs_goes_on_when_nobody_takes_the_lines(kind: str) -> None:
    nobody, lines = os.pipe()
    os.close(nobody)
    try:
        ended = subprocess.run([sys.executable, "-c", SCRIPT, kind], stdout=subprocess.PIPE, stderr=lines, timeout=60)
    finally:
        os.close(lines)
    assert ended.stdout == b"went on\n"
