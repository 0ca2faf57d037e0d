"""Logging: lines that cannot be written, and tracebacks without messages."""

import os
import subprocess
import sys

import pytest

from cwz_web.logs import format_stack

SCRIPT = """
import logging, sys
import structlog
from cwz_web.logs import configure_logs

configure_logs(development=sys.argv[1] == "development")
structlog.get_logger().info("request", status=200)
logging.getLogger("library").warning("warning")
print("went on")
"""


@pytest.mark.parametrize("mode", ["development", "production"])
def test_closed_stderr_does_not_stop_the_process(mode: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([sys.executable, "-c", SCRIPT, mode], stdout=subprocess.PIPE, stderr=writer, timeout=60)
    finally:
        os.close(writer)
    assert ended.stdout == b"went on\n"


def test_stack_has_types_and_locations_but_no_message() -> None:
    try:
        try:
            raise ValueError("secret-1")
        except ValueError as error:
            raise ExceptionGroup("secret-2", [KeyError("secret-3")]) from error
    except ExceptionGroup as error:
        stack = format_stack((type(error), error, error.__traceback__))
    assert "secret" not in stack
    lines = [line for line in stack.splitlines() if not line.startswith("  File")]
    assert lines == ["ValueError", "  caused:", "ExceptionGroup", "KeyError"]
    assert f'File "{__file__}"' in stack


def test_stack_of_an_error_that_is_its_own_indirect_cause_ends() -> None:
    first, second = ValueError("one"), KeyError("two")
    first.__cause__, second.__cause__ = second, first
    assert format_stack((ValueError, first, None)).splitlines() == ["KeyError", "  caused:", "ValueError"]
